# Reads a Go cover profile, prints the share of statements covered for each package under internal, and fails below the
# floor. A block that several test binaries ran through stands in the profile once for each.
BEGIN {
	floor = 80
	higher["chat"] = higher["pii"] = higher["audit"] = 90
	# The suites are tests themselves: what they leave out is a case that no implementation met.
	none["llmtest"] = none["storetest"] = none["crashtest"] = none["opentest"] = 1
	# Without a MongoDB what talks to one is not run; with one (-v mongodb=1) it has its floor.
	none["legacy"] = none["mongotest"] = 1
	if (!mongodb) none["mongo"] = 1
}
FNR > 1 {
	block = $1
	size[block] = $2
	if ($3 > 0) hit[block] = 1
}
END {
	for (block in size) {
		pkg = block
		sub(/:.*/, "", pkg)
		sub(/\/[^\/]*$/, "", pkg)
		sub(/.*\/internal\//, "", pkg)
		all[pkg] += size[block]
		if (block in hit) covered[pkg] += size[block]
	}
	for (pkg in all) {
		share = 100 * covered[pkg] / all[pkg]
		want = pkg in none ? 0 : pkg in higher ? higher[pkg] : floor
		low = share < want
		bad += low
		lines[++n] = sprintf("%-12s %5.1f %%  of %5d statements, floor %2d %%%s", pkg, share, all[pkg], want, low ? "  TOO LOW" : "")
	}
	# There is no portable sort in awk, and few lines.
	for (i = 1; i <= n; i++)
		for (j = i + 1; j <= n; j++)
			if (lines[j] < lines[i]) { t = lines[i]; lines[i] = lines[j]; lines[j] = t }
	for (i = 1; i <= n; i++) print lines[i]
	if (n == 0) { print "no coverage of internal/... in the profile"; exit 1 }
	exit bad > 0
}
