package pii

import "testing"

func TestSingaporePostalCodes(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"behind the country", "Singapore 560123", "Singapore [MASKED_POSTAL]"},
		{"behind the country and a comma", "Singapore, 560123", "Singapore, [MASKED_POSTAL]"},
		{"in brackets behind the country", "Singapore (560123)", "Singapore ([MASKED_POSTAL])"},
		{"behind S in brackets", "S(560123)", "S([MASKED_POSTAL])"},
		{"behind S", "S 560123", "S [MASKED_POSTAL]"},
		{"S touches it", "S560123", "[MASKED_POSTAL]"},
		{"behind S in its own brackets", "(S)560123", "(S)[MASKED_POSTAL]"},
		{"behind its name", "postal code 560123", "postal code [MASKED_POSTAL]"},
		{"behind its name and a verb", "my postal code is 560123", "my postal code is [MASKED_POSTAL]"},
		{"behind an address", "Blk 12 Bedok North Road 460012", "[MASKED_ADDRESS] [MASKED_POSTAL]"},
		{"behind an address and a comma", "10 Anson Road, #05-12, 079903", "[MASKED_ADDRESS], [MASKED_POSTAL]"},
		{"in Chinese", "新加坡560123 邮编560123", "新加坡[MASKED_POSTAL] 邮编[MASKED_POSTAL]"},
		{"SG before it", "SG 560123", "SG [MASKED_POSTAL]"},
	})
	runUntouched(t, []string{
		"560123", "Singapore has 560123 people", "Singapore 990123", "Singapore 740123", "Singapore 560123 dollars", "order S560123", "S990123",
		"XS560123", "Singapore 5601234", "item 560123", "since 200000", "S560123@x", "S560123a", "in Singapore in 2023",
	})
}

func TestOtherPostalCodes(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"a ZIP code", "ZIP: 35350", "ZIP: [MASKED_POSTAL]"},
		{"a ZIP code in words", "my zip code is 35350", "my zip code is [MASKED_POSTAL]"},
		{"a ZIP code with its extension", "zip 35350-1234", "zip [MASKED_POSTAL]"},
		{"behind a state", "Springfield, IL 62704", "Springfield, IL [MASKED_POSTAL]"},
		{"behind a state with its extension", "Springfield, IL 62704-1234", "Springfield, IL [MASKED_POSTAL]"},
		{"of a military post office", "APO AA 42323", "APO AA [MASKED_POSTAL]"},
		{"a state behind an address", "12 Main Street\nSpringfield IL 62704", "[MASKED_ADDRESS]\nSpringfield IL [MASKED_POSTAL]"},
		{"of four digits", "ZIP: 3520", "ZIP: [MASKED_POSTAL]"},
		{"with a space", "ZIP: 394 13", "ZIP: [MASKED_POSTAL]"},
		{"Portugal", "postal code 3610-114", "postal code [MASKED_POSTAL]"},
		{"Poland", "zip: 53-320", "zip: [MASKED_POSTAL]"},
		{"Japan", "postcode 100-0001", "postcode [MASKED_POSTAL]"},
		{"the Netherlands", "postcode 7412 SL", "postcode [MASKED_POSTAL]"},
		{"the United Kingdom", "I live at SW1A 1AA", "I live at [MASKED_POSTAL]"},
		{"the United Kingdom behind the word", "postcode: m1 1ae", "postcode: [MASKED_POSTAL]"},
		{"the United Kingdom behind an address", "10 Downing Street, London SW1A 2AA", "[MASKED_ADDRESS], London [MASKED_POSTAL]"},
		{"the United Kingdom as the only answer", "EC1A 1BB", "[MASKED_POSTAL]"},
		{"the United Kingdom without a space", "postcode EC1A1BB", "postcode [MASKED_POSTAL]"},
		{"Canada", "postal code K1A 0B1", "postal code [MASKED_POSTAL]"},
		{"a list", "zips 35350, 35351", "zips [MASKED_POSTAL], [MASKED_POSTAL]"},
	})
	runUntouched(t, []string{
		"35350", "I have IL 62704 things", "in 2023", "the zip file is 35350", "OK 12345", "DDR4 8GB", "B2B 4YOU", "A4 4GB ram", "K1A 0B1 x",
		"NY 1000", "zip 12", "error code 12345", "PS5 2TB", "postal code unknown",
	})
}

func TestStreetAddresses(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"a number and a street", "I live at 123 Orchard Road.", "I live at [MASKED_ADDRESS]."},
		{"without words before it", "221B Baker Street", "[MASKED_ADDRESS]"},
		{"with a quarter of the sky", "1600 Pennsylvania Ave NW, Washington", "[MASKED_ADDRESS], Washington"},
		{"with a flat", "123 Main St, Apt 4B, Springfield", "[MASKED_ADDRESS], Springfield"},
		{"an ordinal", "350 5th Avenue", "[MASKED_ADDRESS]"},
		{"in lower case behind a word", "she lives at 123 main street", "she lives at [MASKED_ADDRESS]"},
		{"a weak word behind a word", "office at 1 Raffles Place", "office at [MASKED_ADDRESS]"},
		{"a weak word that ends the line", "8 Marina View\n#10-01", "[MASKED_ADDRESS]\n[MASKED_ADDRESS]"},
		{"a range of numbers", "10-12 Upper Cross Street", "[MASKED_ADDRESS]"},
		{"behind No.", "No. 12 Serangoon Road", "No. [MASKED_ADDRESS]"},
		{"with a saint", "3 St Andrews Road", "[MASKED_ADDRESS]"},
		{"a block in Singapore", "Blk 123 Ang Mo Kio Ave 3 #05-12", "[MASKED_ADDRESS]"},
		{"a block with a comma and a unit", "Block 45A Toa Payoh Lorong 5, #10-123", "[MASKED_ADDRESS]"},
		{"a block and no street", "meet me at blk 123", "meet me at [MASKED_ADDRESS]"},
		{"a block and a quarter", "Blk 45 Bedok North", "[MASKED_ADDRESS]"},
		{"a unit alone", "my unit is #05-12", "my unit is [MASKED_ADDRESS]"},
		{"a unit in the basement", "shop #B1-03A", "shop [MASKED_ADDRESS]"},
		{"Jalan with the number before it", "12 Jalan Besar", "[MASKED_ADDRESS]"},
		{"Jalan with the number behind it", "Jalan Besar 12", "[MASKED_ADDRESS]"},
		{"Lorong", "21 Lorong Chuan #02-01", "[MASKED_ADDRESS]"},
		{"French", "56 rue La Boétie", "[MASKED_ADDRESS]"},
		{"Italian", "Via Franscini 71", "[MASKED_ADDRESS]"},
		{"Portuguese", "Rua do Arenque 1634", "[MASKED_ADDRESS]"},
		{"German", "Hauptstraße 5 in Bonn", "[MASKED_ADDRESS] in Bonn"},
		{"Finnish with a number before it", "28245 Koskikatu 82 Apt. 595", "[MASKED_ADDRESS] [MASKED_ADDRESS]"},
		{"Hungarian", "Hegedűs Gyula utca 76, Budapest", "[MASKED_ADDRESS], Budapest"},
		{"a second number before the street", "62573 103 Cassidy Street", "[MASKED_ADDRESS]"},
		{"a flat after an address", "12 Main Street\nSuite 680", "[MASKED_ADDRESS]\n[MASKED_ADDRESS]"},
		{"a flat in a street", "Apt 5, 12 Main Street", "[MASKED_ADDRESS], [MASKED_ADDRESS]"},
		{"a box", "P.O. Box 12345", "[MASKED_ADDRESS]"},
		{"a box without dots", "PO Box 77", "[MASKED_ADDRESS]"},
		{"a military box", "PSC 0413, Box 8144", "[MASKED_ADDRESS], [MASKED_ADDRESS]"},
		{"a military unit", "at Unit 1293 Box 4311", "at [MASKED_ADDRESS]"},
		{"a name that only the word address makes one", "address: 50541 Mlýnská 1540", "address: [MASKED_ADDRESS]"},
		{"a year before an address that says so", "address: 1990 Main Street", "address: [MASKED_ADDRESS]"},
	})
	runUntouched(t, []string{
		"I have 3 dogs in my street", "in 2020 Wall Street crashed", "5 Google Drive links", "a 2 way street", "the top 10 places", "12 Monkeys",
		"7 days a week", "chapter 3 Road to nowhere", "Katie 30", "test suite 12", "Office Suite 365", "unit 5 of the course", "block 123 users",
		"level 3 support", "box 12", "issue #12", "C# 05-12", "#1-2", "#05-12-2023", "Windows 11 Pro", "iPhone 15 Pro Max", "Room for 2", "Formula 1 Drive to Survive",
		"Boeing 747", "Apollo 11 Way", "5th Avenue", "12th Street", "100 Fast", "route 66", "Stargate 2", "at 10 am", "24 Hour Party People", "1984",
		"the 5 Star Drive was nice", "page 12 Foreword",
	})
}
