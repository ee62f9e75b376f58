// Talks to the daemon: requests, streams, problem documents, and what to do when it is busy, away or asks for a key.
// Everything that knows the API's paths and field names is in this file.

export const base = new URL('.', document.baseURI).href;

let key = null; // in memory only

export class Problem extends Error {
	constructor(status, body, retryAfter) {
		super(body.detail || body.title || `The server answered ${status}.`);
		this.status = status;
		this.type = body.type || '';
		this.title = body.title || '';
		this.detail = body.detail || '';
		this.errors = Array.isArray(body.errors) ? body.errors : [];
		this.requestId = body.request_id || '';
		this.retryAfter = retryAfter;
	}
}

class Offline extends Error {}

export const isAbort = (error) => error?.name === 'AbortError';

// --- the state of the connection, shown at the top of the page -----------------------------------------------------

const watchers = new Set();
let link = { state: 'loading' };

export function watchLink(watcher) {
	watchers.add(watcher);
	watcher(link);
}

function setLink(next) {
	if (next.state === link.state && next.state !== 'busy') {
		return;
	}
	link = next;
	watchers.forEach((watcher) => watcher(link));
}

const waiting = new Set();
export const tryNow = () => waiting.forEach((early) => early());

// Resolves after ms, or at once when the person presses "Try now"; rejects when aborted.
function pause(ms, signal) {
	return new Promise((resolve, reject) => {
		const abort = () => {
			end(reject, new DOMException('cancelled', 'AbortError'));
			revive();
		};
		const timer = setTimeout(() => end(resolve), ms);
		const early = () => end(resolve);
		function end(settle, value) {
			clearTimeout(timer);
			waiting.delete(early);
			signal?.removeEventListener('abort', abort);
			settle(value);
		}
		if (signal?.aborted) {
			abort();
			return;
		}
		signal?.addEventListener('abort', abort);
		waiting.add(early);
	});
}

let keyDialog = async () => null;
export const onKeyWanted = (ask) => { keyDialog = ask; };
let asking = null;

async function askKey(rejected) {
	asking ??= keyDialog(rejected).finally(() => { asking = null; });
	const answer = await asking;
	if (answer === null) {
		const detail = 'This server answers only with a key. Press the button again to enter one.';
		throw new Problem(401, { title: 'No key', detail });
	}
	key = answer;
}

// Busy now, room later. Work that was too long for the server's time limit would only run into it again.
const comesBack = ({ status, type = '' }) =>
	status === 429 || status === 503 && !type.endsWith(':deadline-exceeded');

// Runs one attempt after another until the server has answered it. A full, loading or lost server is waited for; an
// answer about the request itself (4xx) is thrown.
async function persist(attempt, signal) {
	for (let round = 0;; round++) {
		const used = key;
		try {
			const result = await attempt();
			setLink({ state: 'ready' });
			return result;
		} catch (error) {
			if (signal?.aborted || isAbort(error)) {
				throw new DOMException('cancelled', 'AbortError');
			}
			if (error instanceof Offline) {
				setLink({ state: 'offline' });
				await pause(Math.min(1000 * 2 ** Math.min(round, 4), 8000), signal);
			} else if (comesBack(error)) {
				const seconds = Math.max(1, error.retryAfter || 1);
				setLink({ state: 'busy', until: Date.now() + seconds * 1000, words: error.detail || error.title });
				await pause(seconds * 1000, signal);
			} else if (error.status === 401) {
				setLink({ state: 'locked' });
				if (used === key) {
					await askKey(used !== null);
				}
			} else {
				setLink({ state: 'ready' });
				throw error;
			}
		}
	}
}

// Whoever waited for the server has given up: somebody must still notice that it is back.
let reviving = false;
function revive() {
	if (!reviving && (link.state === 'busy' || link.state === 'offline')) {
		reviving = true;
		persist(() => open('livez')).catch(() => {}).finally(() => { reviving = false; });
	}
}

// --- one request ---------------------------------------------------------------------------------------------------

async function open(path, { method = 'GET', query, body, type, accept = 'application/json', signal } = {}) {
	const url = new URL(path, base);
	for (const [name, value] of Object.entries(query ?? {})) {
		url.searchParams.set(name, value);
	}
	const headers = { Accept: accept };
	if (type) {
		headers['Content-Type'] = type;
	}
	if (key !== null) {
		headers.Authorization = `Bearer ${key}`;
	}
	let response;
	try {
		response = await fetch(url, { method, headers, body, signal, cache: 'no-store' });
	} catch (error) {
		throw isAbort(error) ? error : new Offline(error.message);
	}
	if (!response.ok) {
		throw await problemOf(response);
	}
	return response;
}

async function problemOf(response) {
	let body = {};
	try {
		body = await response.json();
	} catch {
		body.detail = `The server answered ${response.status} ${response.statusText}.`;
	}
	return new Problem(response.status, body, Number(response.headers.get('Retry-After')) || 0);
}

const readAll = (read) => read.catch((error) => {
	throw isAbort(error) || error instanceof SyntaxError ? error : new Offline(error.message);
});

export const getJson = (path, signal) => persist(async () => readAll((await open(path, { signal })).json()), signal);
export const getBlob = (path, signal) => persist(async () => readAll((await open(path, { signal })).blob()), signal);

// --- server-sent events --------------------------------------------------------------------------------------------

async function* events(response) {
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = '';
	for (;;) {
		let part;
		try {
			part = await reader.read();
		} catch (error) {
			throw isAbort(error) ? error : new Offline(error.message);
		}
		if (part.done) {
			return;
		}
		const blocks = (rest + part.value.replace(/\r/g, '')).split('\n\n');
		rest = blocks.pop();
		for (const block of blocks) {
			const event = { name: 'message', data: '' };
			for (const line of block.split('\n')) {
				if (line.startsWith('event:')) {
					event.name = line.slice(6).trim();
				} else if (line.startsWith('data:')) {
					event.data += line.slice(5).trim();
				}
			}
			if (event.data) {
				yield { name: event.name, data: JSON.parse(event.data) };
			}
		}
	}
}

// Posts and follows the stream; onStep(data) for each step; resolves to the result. A stream that breaks off is asked
// again from the start: equal seeds give equal pictures, so nothing jumps.
function stream(path, { query, body, type }, onStep, signal) {
	return persist(async () => {
		const response = await open(path, { method: 'POST', query, body, type, accept: 'text/event-stream', signal });
		for await (const event of events(response)) {
			if (event.name === 'step') {
				onStep(event.data);
			} else if (event.name === 'result') {
				return event.data;
			} else if (event.name === 'error' || event.name === 'problem') {
				throw new Problem(event.data.status || 500, event.data, event.data.retry_after || 0);
			}
		}
		throw new Offline('The stream ended early.');
	}, signal);
}

const streamJson = (path, json, onStep, signal) =>
	stream(path, { body: JSON.stringify(json), type: 'application/json' }, onStep, signal);

// --- the questions -------------------------------------------------------------------------------------------------

const classifyQuery = (options) => ({ ...options, trace: true });

export function classify(png, options, signal) {
	return persist(async () => {
		const response = await open('v1/classify', {
			method: 'POST', query: classifyQuery(options), body: png, type: 'image/png', signal,
		});
		return readAll(response.json());
	}, signal);
}

export function edit(png, options, signal) {
	return persist(async () => {
		const response = await open('v1/edit', {
			method: 'POST', query: options, body: png, type: 'image/png', signal,
		});
		return readAll(response.json());
	}, signal);
}

export const classifyStream = (png, options, onStep, signal) =>
	stream('v1/classify', { query: classifyQuery(options), body: png, type: 'image/png' }, onStep, signal);

export const generateStream = (options, onStep, signal) => streamJson('v1/generate', options, onStep, signal);
export const blendStream = (options, onStep, signal) => streamJson('v1/blend', options, onStep, signal);
export const sampleStream = (options, onStep, signal) => streamJson('v1/sample', options, onStep, signal);

// --- the same with curl --------------------------------------------------------------------------------------------

const quote = (text) => `'${String(text).replace(/'/g, `'\\''`)}'`;

export function curlJson(path, json, output) {
	const parts = ['curl'];
	if (key !== null) {
		parts.push('-H "Authorization: Bearer $JOINTFLOW_KEY"');
	}
	if (output) {
		parts.push(`-H 'Accept: image/png' -o ${output}`);
	}
	parts.push(`--json ${quote(JSON.stringify(json))}`, quote(new URL(path, base).href));
	return parts.join(' \\\n  ').replace('curl \\\n  ', 'curl ');
}

export function curlForm(path, file, options) {
	const url = new URL(path, base);
	for (const [name, value] of Object.entries(options)) {
		url.searchParams.set(name, value);
	}
	const auth = key !== null ? '-H "Authorization: Bearer $JOINTFLOW_KEY" ' : '';
	return `curl ${auth}-F image=@${file} ${quote(url.href)}`;
}
