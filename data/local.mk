# data: part of the top Makefile.am
EXTRA_DIST += \
	data/digits/0.png \
	data/digits/1.png \
	data/digits/2.png \
	data/digits/3.png \
	data/digits/4.png \
	data/digits/5.png \
	data/digits/6.png \
	data/digits/7.png \
	data/digits/8.png \
	data/digits/9.png \
	data/digits/make-digits

# MNIST's test set, installed for `jointflow eval`; training images are fetched by data/fetch-mnist
mnistdir = $(pkgdatadir)/data/mnist
dist_mnist_DATA = \
	data/mnist/README.md \
	data/mnist/t10k-images-idx3-ubyte.gz \
	data/mnist/t10k-labels-idx1-ubyte.gz
fetchdir = $(pkgdatadir)/data
dist_fetch_SCRIPTS = data/fetch-mnist
