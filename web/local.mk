# web: part of the top Makefile.am
# digits/: one image of each class of the MNIST test set (indices 25 5 43 63 6 15 50 26 128 16), 28 x 28 as in the set.
# The page as the daemon serves it: what stands here is embedded into jointflowd under these names, below web/.
WEB_FILES = \
	web/about.js \
	web/api.js \
	web/app.js \
	web/blend.js \
	web/classify.js \
	web/digits/0.png \
	web/digits/1.png \
	web/digits/2.png \
	web/digits/3.png \
	web/digits/4.png \
	web/digits/5.png \
	web/digits/6.png \
	web/digits/7.png \
	web/digits/8.png \
	web/digits/9.png \
	web/docs.html \
	web/docs.js \
	web/generate.js \
	web/icon.svg \
	web/index.html \
	web/pad.js \
	web/picture.js \
	web/reference.js \
	web/sample.js \
	web/style.css \
	web/widgets.js
EXTRA_DIST += $(WEB_FILES)
