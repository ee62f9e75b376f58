# Turns the option lines of a program's --help into an mdoc list: the program's table is the only list of its options.
#   jointflow classify --help | awk [-v part=common|special] -f man/options.awk
# part: only the options that most commands share, or only the others; without it all of them.
# A line "Title:" starts a subsection; "  -c, --name=ARG   text" starts an option; other indented lines go on with it.
BEGIN {
	split("model threads batch json quiet help version", names)
	for (i in names)
		shared[names[i]] = 1
}
function escape(text) {
	gsub(/\\/, "\\e", text)
	gsub(/-/, "\\-", text)
	sub(/^[.']/, "\\\\\\&&", text)
	return text
}
# Not what has to be typed as it stands, as in "posterior: ..." or "euler, midpoint or heun".
function capital(text) {
	if (text ~ /^[a-z]+[:,]/)
		return text
	return toupper(substr(text, 1, 1)) substr(text, 2)
}
function close_item() {
	if (text != "") {
		# One sentence a line, as mdoc wants it; the default, when the help says one, on a line of its own.
		given = ""
		if (match(text, / \[[^\]]*\]$/)) {
			given = substr(text, RSTART + 2, RLENGTH - 3)
			text = substr(text, 1, RSTART - 1)
		} else if (split(text, parts, /\(default: /) == 2 && match(text, / \(default: .*\)$/)) {
			given = substr(text, RSTART + 11, RLENGTH - 12)
			text = substr(text, 1, RSTART - 1)
		}
		print escape(capital(text)) "."
		if (given != "")
			print "Default: " escape(given) "."
	}
	text = ""
}
function close_list() {
	close_item()
	if (listing)
		print ".El"
	listing = 0
}
/^[A-Z][^:]*:$/ {
	close_list()
	sub(/:$/, "")
	title = $0
	next
}
/^  (-[A-Za-z],|   ) --[a-z-]+/ {
	close_item()
	match($0, /--[a-z-]+/)
	skipping = part != "" && (part == "common") != (substr($0, RSTART + 2, RLENGTH - 2) in shared)
	if (skipping)
		next
	if (!listing) {
		if (title != "")
			print ".Ss " title
		print ".Bl -tag -width Ds"
		listing = 1
		title = ""
	}
	letter = ""
	if (match($0, /^  -[A-Za-z],/))
		letter = substr($0, 4, 1)
	match($0, /--[^ ]+/)
	option = substr($0, RSTART + 2, RLENGTH - 2)
	text = substr($0, RSTART + RLENGTH)
	sub(/^ +/, "", text)
	argument = ""
	if (match(option, /=/)) {
		argument = substr(option, RSTART + 1)
		option = substr(option, 1, RSTART - 1)
	}
	item = letter != "" ? "Fl " letter " , Fl Fl " : "Fl Fl "
	item = item escape(option)
	if (argument != "")
		item = item " Ns = Ns Ar " escape(argument)
	print ".It " item
	next
}
/^      +[^ ]/ && skipping { next }
/^      +[^ ]/ && listing {
	sub(/^ +/, "")
	text = text == "" ? $0 : text " " $0
	next
}
{ close_list() }
END { close_list() }
