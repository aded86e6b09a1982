package pii

// wordLists is everything that the engine knows of words. A word may be in several lists.
var wordLists = [...]struct {
	hint  hint
	words string
}{
	{hintPhone, `phone phones telephone telephones tel telefon telefono teléfono téléphone telefone telp phonenumber mobile mobiles mobil
		mobilenumber handphone hp cell cellphone cellular fax whatsapp whatsapped telegram viber sms call called calling calls
		dial dialed dialled ring rang hotline helpline landline pager ph mob msisdn voicemail answering texted handynummer
		rufnummer portable móvil movil celular celulare cellulare telefoonnummer
		电话 電話 手机 手機 号码 號碼 致电 致電 联系 聯絡 传真 傳真 拨打 携帯 전화 연락처 โทร телефон тел nombor paynow paylah`},
	{hintPhoneWeak, `contact contacts contactable reach reached reachable text texting message messages messaging wa office home
		work desk direct line registered line lines hq answer answers ext extension sos emergency`},
	{hintNumber, `number numbers no num nos nr nummer numero número numéro`},
	{hintCard, `card cards creditcard debitcard cardnumber cardno visa mastercard amex maestro discover jcb diners unionpay
		pan creditcards cc ccnum ccnumber carte tarjeta kreditkarte 信用卡 卡号 卡號`},
	{hintBank, `iban ibans account accounts acct bank banking transfer sepa bic swift konto beneficiary payee wire remit`},
	{hintSSN, `ssn ssns social socialsecurity socialsecuritynumber itin taxpayer`},
	{hintNRIC, `nric fin ic nrics fins icno nricno nricfin identity identification singpass passport uinfin permit workpermit 身份证
		身份證 证件`},
	{hintIP, `ip ips ipv ipv4 ipv6 ipaddr ipaddress host hosts server gateway subnet dns localhost loopback prefix
		unspecified route cidr src dst connect connecting connection connected listen listening bind remote client`},
	{hintEmail, `email emails mail mails mailto inbox gmail outlook hotmail yahoo 邮箱 電郵 电邮`},
	{hintPostal, `postal postcode postcodes zip zips zipcode zipcodes postalcode plz pincode eircode cep postleitzahl
		邮编 郵編 邮政编码`},
	{hintCity, `singapore singapura spore sg 新加坡`},
	{hintAddress, `address addresses addr live lives lived living reside resides residing resident residence located location
		deliver delivered delivery ship shipped shipping billing mailing street streetaddress moved adresse dirección direccion
		endereço indirizzo alamat stay stays staying home 地址 住在 住址 寄到`},
	{hintPlace, `at near to from meet visit visiting office house corner outside opposite behind stop drop drops pick
		send sent return in on by is shop store clinic restaurant hotel venue station taxi cab`},

	{hintOther, `order orders invoice invoices version versions ver v commit commits build builds ticket tickets issue issues
		ref refs reference references tracking isbn issn serial sku part parts model item items transaction transactions txn txid
		timestamp epoch unix date dates dated year years population case cases booking bookings confirmation hash hashes uuid guid
		sha sha1 sha256 md5 checksum crc receipt receipts po batch lot error errors row rows page pages uid gid pid id ids
		offset revision rev release section chapter clause oid figure table equation article port ports bytes size
		count counter total sum score seed nonce height width length quantity qty voucher coupon flight policy
		shipment awb parcel product barcode ean upc gtin asin doi arxiv pmid job jobs task tasks request requests
		span trace session pull pr bug bugs jira since ended started created updated modified expires expiry
		订单 單號 订单号 版本 발주 заказ`},
	{hintOther, `price prices amount amounts cost costs balance paid payment usd sgd eur gbp aud cad jpy cny inr myr hkd rmb
		idr thb php vnd rm rp rs salary budget revenue profit worth fee fees income loan mortgage dollars cents`},
	{hintUnit, `bytes byte kb mb gb tb kib mib gib bits bit ms ns us sec secs second seconds minute minutes min mins hour hours hrs
		day days week weeks month months year years km m cm mm kg g mg lb lbs oz mile miles feet ft inch inches meters metres
		dollars usd sgd eur gbp euros cents bucks users people persons items times views likes followers subscribers rows records
		lines tokens requests steps points pts percent pages words characters chars iterations episodes votes copies units
		downloads members employees residents visitors calories kcal volts watts hz mhz ghz fps rpm px pixels dpi degrees
		shares shekels won yen yuan rupees rupiah ringgit baht pesos million billion thousand lakh crore dozen
		star stars lane way ways hard more other new of different big small good bad great google world
		open closed high low fast slow free`},
	{hintFiller, `is was are the a an my your his her our their its this that it at on to of as be for me us him them or and via
		with i im am pls please now currently new old current following below here just same also either
		still under using s t us code codes`},

	{hintStreet, `street streets st str road rd avenue ave av avenues boulevard blvd crescent cres highway hwy parkway pkwy turnpike expressway freeway alley mews esplanade promenade causeway
		streetname utca út ulica straat laan gade gata gatan vej väg vägen veien weg gasse strasse straße platz allee plein
		kade gracht katu tie kuja caddesi sokak cadde tanav tn mnt`},
	{hintStreetWeak, `lane ln drive dr court ct terrace ter place pl way square sq circle cir trail trl quay link loop rise view grove green hill hills park gardens
		garden gate heights row plaza bypass pike close walk bridge cove creek dale field fields ford forest glen hollow island
		junction knoll lake landing manor meadow meadows mill mills mount mountain orchard oval pass path pine point port ridge
		river run shore shores spring springs spur station summit track trace tunnel union valley village villas vista wharf
		woods crossing drove gully plains prairie rapids rest shoals skyway stream throughway trafficway viaduct ways
		avon central north south east west estate estates edge end common commons burgs camp canyon cape center centre cliff
		cliffs club corner corners course courts coves dam divide drives extension extensions falls ferry flat flats fork forks fort
		freeway greens groves harbor harbors haven isle islands junctions key keys knolls lakes light lights loaf locks lodge mall
		motorway neck parks passage pines plain points ports radial ramp ranch rapid ridges roads route skyway square squares
		stravenue streams streets terrace underpass unions valleys views villages ville walks wall walls well wells`},
	{hintStreetFirst, `jalan jln lorong lor kampong kg lebuh lengkok persiaran rue via viale vicolo piazza piazzetta corso calle
		avenida avda avd paseo plaza plaça carrer rua travessa praça estrada largo ul ulica aleja ulice rúa camino
		carretera ronda strada stradă bulevardul rambla quai chemin allée allee impasse boulevard place route cours náměstí nám
		leoforos odos οδός bukit tanjong upper`},
	{hintParticle, `de la le les du des del della delle di da do dos das van von der den ten ter am im an zu zur zum of the and y e
		et el los las d l nad pod na u i`},
	{hintCompass, `n s e w ne nw se sw north south east west nth sth central`},
	{hintDwelling, `apt apts apartment suite ste flat unit room rm level lvl appt`},
	{hintBlock, `blk block blok bldg building`},
	{hintBox, `box postbox postboks postfach pobox pmb psc cmr`},
	{hintState, `al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa ri
		sc sd tn tx ut vt va wa wv wi wy dc pr aa ae ap`},

	{hintSecret, `password passwords passwd passwort passphrase passcode pwd pswd psw secret secrets apikey apikeys secretkey
		accesskey privatekey authtoken accesstoken refreshtoken clientsecret sharedsecret credential credentials userpass
		masterkey encryptionkey signingkey authkey connectionkey 密码 密碼 пароль contraseña senha kennwort`},
	{hintToken, `token tokens bearer jwt auth authorization cookie sessionid sas`},
	{hintKey, `key keys`},
	{hintKeyOf, `api access secret private auth encryption encrypt signing master account subscription service license ssh aws
		azure openai anthropic stripe github gitlab google shared storage client consumer app admin server hmac`},
	{hintPlain, `string str null none nil true false undefined text required optional any void bytes int integer number boolean bool
		char varchar object array type value default empty missing invalid valid expired changed reset forgotten forgot hidden
		unset redacted masked removed secret password token key username user and or not in on off yes no is was the a an please
		must should has have can for from with your my new old same correct wrong incorrect strong weak field input form hash
		hashed encrypted salt public private self this expr func function return const let var env os process getenv request req
		config settings options args params data id name file path url unknown todo example placeholder`},
	{hintMonth, `january february march april may june july august september october november december jan feb mar apr jun jul aug
		sep sept oct nov dec`},
}
