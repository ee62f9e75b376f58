#include "config.h"

#include "daemon/http/assets.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "daemon/http/assets_data.h"
#include "daemon/http/deflate.h"

#define MAX_FILES 1000
#define MAX_FILE ((size_t)16 << 20)
#define MAX_PATH 1024
#define MAX_DEPTH 8

/* What "/" shows in a build without a page. */
static const char plain_page[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>jointflow</title></head><body>\n"
    "<h1>jointflow</h1>\n<p>This server classifies, draws and blends pictures of digits with one flow-matching model of"
    " image and label.</p>\n<ul>\n<li><a href=\"openapi.json\">openapi.json</a>: the API</li>\n"
    "<li><a href=\"v1/generate?digit=7&amp;seed=1\">v1/generate?digit=7&amp;seed=1</a>: a picture</li>\n"
    "<li><a href=\"v1/model\">v1/model</a>: the model</li>\n<li><a href=\"health\">health</a></li>\n</ul>\n"
    "</body></html>\n";

struct jf_assets {
	struct jf_asset *item;
	int n;
	bool owned; /* paths and data are ours */
};

/* The content type for a file name. */
static const char *type_of(const char *path) {
	static const struct {
		const char *suffix, *type;
	} types[] = {
	    {".html", "text/html; charset=utf-8"},
	    {".css", "text/css; charset=utf-8"},
	    {".js", "text/javascript; charset=utf-8"},
	    {".mjs", "text/javascript; charset=utf-8"},
	    {".json", "application/json"},
	    {".webmanifest", "application/manifest+json"},
	    {".txt", "text/plain; charset=utf-8"},
	    {".svg", "image/svg+xml"},
	    {".png", "image/png"},
	    {".jpg", "image/jpeg"},
	    {".webp", "image/webp"},
	    {".ico", "image/x-icon"},
	    {".woff2", "font/woff2"},
	    {".wasm", "application/wasm"},
	};
	size_t length = strlen(path), suffix, i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		suffix = strlen(types[i].suffix);
		if (length > suffix && strcasecmp(path + length - suffix, types[i].suffix) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

/* Adds one file; path and data stay the caller's unless assets->owned. */
static enum jf_err add(
    struct jf_assets *assets, const char *path, const char *data, size_t size, struct jf_error *err) {
	struct jf_asset *grown, *asset;
	char digest[JF_SHA256_HEX];
	char *packed;

	if (assets->n == MAX_FILES)
		return jf_error_set(err, JF_ELIMIT, "the page has more than %d files", MAX_FILES);
	grown = realloc(assets->item, (size_t)(assets->n + 1) * sizeof(*grown));
	if (!grown)
		return jf_error_set(err, JF_ENOMEM, "no memory for the page");
	assets->item = grown;
	asset = &grown[assets->n];
	memset(asset, 0, sizeof(*asset));
	asset->path = path;
	asset->content_type = type_of(path);
	asset->data = data;
	asset->size = size;
	jf_sha256_hex(digest, data, size);
	snprintf(asset->etag, sizeof(asset->etag), "\"%.32s\"", digest);
	snprintf(asset->gzip_etag, sizeof(asset->gzip_etag), "\"%.32s-gz\"", digest);
	packed = jf_gzip(data, size, &asset->gzip_size);
	if (packed && asset->gzip_size + 64 < size)
		asset->gzip = packed;
	else
		free(packed);
	assets->n++;
	return JF_OK;
}

static enum jf_err add_file(struct jf_assets *assets, const char *root, const char *relative, struct jf_error *err) {
	char path[2 * MAX_PATH];
	uint8_t *data = NULL;
	char *name;
	size_t size;
	enum jf_err code;

	snprintf(path, sizeof(path), "%s/%s", root, relative);
	code = jf_file_read(&data, &size, path, MAX_FILE, err);
	if (code != JF_OK)
		return code;
	name = strdup(relative);
	code =
	    name ? add(assets, name, (char *)data, size, err) : jf_error_set(err, JF_ENOMEM, "no memory for %s", path);
	if (code != JF_OK) {
		free(name);
		free(data);
	}
	return code;
}

static enum jf_err add_folder(
    struct jf_assets *assets, const char *root, const char *folder, int depth, struct jf_error *err) {
	char path[2 * MAX_PATH], relative[MAX_PATH];
	struct dirent *entry;
	enum jf_err code = JF_OK;
	struct stat info;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/%s", root, folder);
	directory = opendir(path);
	if (!directory)
		return jf_error_set(err, JF_EIO, "%s: cannot read this folder (web_root)", path);
	while (code == JF_OK && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(relative, sizeof(relative), "%s%s%s", folder, *folder ? "/" : "", entry->d_name) >=
			sizeof(relative) ||
		    fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISREG(info.st_mode))
			code = add_file(assets, root, relative, err);
		else if (S_ISDIR(info.st_mode) && depth < MAX_DEPTH)
			code = add_folder(assets, root, relative, depth + 1, err);
	}
	closedir(directory);
	return code;
}

struct jf_assets *jf_assets_load(const char *web_root, struct jf_error *err) {
	struct jf_assets *assets = calloc(1, sizeof(*assets));
	enum jf_err code = JF_OK;
	int i;

	if (!assets) {
		jf_error_set(err, JF_ENOMEM, "no memory for the page");
		return NULL;
	}
	if (*web_root) {
		assets->owned = true;
		code = add_folder(assets, web_root, "", 0, err);
	}
	for (i = 0; i < jf_n_embedded && !*web_root && code == JF_OK; i++)
		if (strncmp(jf_embedded[i].path, "web/", 4) == 0)
			code = add(assets, jf_embedded[i].path + 4, (const char *)jf_embedded[i].data,
			    jf_embedded[i].size, err);
	if (code == JF_OK && !*web_root && !jf_assets_find(assets, ""))
		code = add(assets, "index.html", plain_page, sizeof(plain_page) - 1, err);
	if (code == JF_OK)
		return assets;
	jf_assets_destroy(assets);
	return NULL;
}

void jf_assets_destroy(struct jf_assets *assets) {
	int i;

	if (!assets)
		return;
	for (i = 0; i < assets->n; i++) {
		free((void *)(uintptr_t)assets->item[i].gzip);
		if (!assets->owned)
			continue;
		free((void *)(uintptr_t)assets->item[i].path);
		free((void *)(uintptr_t)assets->item[i].data);
	}
	free(assets->item);
	free(assets);
}

const struct jf_asset *jf_assets_find(const struct jf_assets *assets, const char *path) {
	const size_t length = strlen(path);

	if (!*path)
		path = "index.html";
	for (int i = 0; i < assets->n; i++)
		if (strcmp(assets->item[i].path, path) == 0)
			return &assets->item[i];
	for (int i = 0; i < assets->n; i++)
		if (strncmp(assets->item[i].path, path, length) == 0 && !strcmp(assets->item[i].path + length, ".html"))
			return &assets->item[i];
	return NULL;
}
