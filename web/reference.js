// The HTTP interface as openapi.json describes it, readable; for About and for docs.html.
import { base, curlForm, curlJson } from './api.js';
import { h, makeCurl } from './widgets.js';

let model; // as /v1/model describes it
let subheading; // h4, or h2 where nothing stands between a route and the page's title

function resolve(api, node) {
	for (let i = 0; i < 8 && node?.$ref; i++) {
		node = node.$ref.replace(/^#\//, '').split('/')
			.reduce((at, name) => at?.[name.replace(/~1/g, '/').replace(/~0/g, '~')], api);
	}
	return node ?? {};
}

// The most that this server takes, where that is less than what any may.
const limits = { columns: 'count', rows: 'count' };
const most = (name, maximum) => Math.min(maximum ?? Infinity, model.limits[limits[name] ?? name] ?? Infinity);

function typeOf(api, schema, name) {
	const s = resolve(api, schema);
	if (s.enum) {
		return s.enum.join(' | ');
	}
	if (s.const !== undefined) {
		return JSON.stringify(s.const);
	}
	if (s.oneOf || s.anyOf) {
		return (s.oneOf ?? s.anyOf).map((part) => typeOf(api, part)).join(' or ');
	}
	if (s.type === 'array') {
		return `list of ${typeOf(api, s.items)}`;
	}
	let text = [s.type ?? 'any'].flat().join(' or ');
	if (s.minimum !== undefined || s.maximum !== undefined) {
		const maximum = most(name, s.maximum);
		text += `, ${s.minimum ?? '…'} to ${Number.isFinite(maximum) ? maximum : '…'}`;
	}
	return s.default === undefined ? text : `${text}, default ${JSON.stringify(s.default)}`;
}

function table(label, heading, rows) {
	if (!rows.length) {
		return [];
	}
	const body = rows.map((cells) => h('tr', {}, ...cells.map((cell) => h('td', {}, cell))));
	const head = h('tr', {}, ...heading.map((name) => h('th', { scope: 'col' }, name)));
	return [h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label },
		h('table', {}, h('thead', {}, head), h('tbody', {}, ...body)))];
}

function properties(api, schema) {
	const s = resolve(api, schema);
	const parts = [s, ...(s.allOf ?? []), ...(s.oneOf ?? []), ...(s.anyOf ?? [])].map((part) => resolve(api, part));
	const rows = new Map();
	for (const part of parts) {
		for (const [name, value] of Object.entries(part.properties ?? {})) {
			const field = resolve(api, value);
			rows.set(name, [h('code', {}, name), typeOf(api, value, name), value.description ?? field.description ?? '']);
		}
	}
	return [...rows.values()];
}

// Two classes of this model, and how a request names the second: six and seven where it has them.
function twoClasses() {
	const names = (model.classes ?? []).map(String);
	const digits = names.every((name, i) => name === String(i));
	if (digits && (names.length > 7 || !names.length)) {
		return { from: 6, to: 7, one: { digit: 7 } };
	}
	return { from: names.at(0), to: names.at(-1), one: { class: names.at(-1) } };
}

function example(method, path) {
	const { from, to, one } = twoClasses();
	const known = {
		'/v1/classify': () => curlForm('v1/classify', 'picture.png', {}),
		'/v1/generate': () => curlJson('v1/generate', { ...one, count: 16, seed: 1 }, 'pictures.png'),
		'/v1/blend': () => curlJson('v1/blend', { from, to, columns: 9, rows: 4, seed: 1 }, 'blend.png'),
		'/v1/sample': () => curlJson('v1/sample', { count: 4, seed: 1 }),
	};
	if (method === 'post') {
		return known[path]?.();
	}
	// What a GET cannot do without.
	const needed = { '/v1/generate': { ...one, seed: 1 }, '/v1/blend': { from, to, seed: 1 } };
	const fields = Object.entries(needed).find(([end]) => end === path || end === `/v1${path}`)?.[1];
	const output = fields ? ' -o picture.png' : '';
	const url = new URL(path.replace(/^\//, '').replace('{model}', encodeURIComponent(model.name)), base);
	url.search = fields ? new URLSearchParams(fields) : '';
	return path.includes('{') && !path.includes('{model}') ? undefined : `curl${output} '${url.href}'`;
}

function route(api, path, method, operation) {
	const parameters = (operation.parameters ?? []).map((parameter) => resolve(api, parameter));
	const body = resolve(api, operation.requestBody);
	const name = `${method.toUpperCase()} ${path}`;
	const parts = [h('p', {}, operation.description ?? '')];
	parts.push(...table(`${name}, parameters`, ['Parameter', 'Type', 'Meaning'],
		parameters.map((p) => [h('code', {}, p.name), typeOf(api, p.schema, p.name),
			p.description ?? resolve(api, p.schema).description ?? ''])));
	for (const [type, content] of Object.entries(body.content ?? {})) {
		parts.push(h(subheading, {}, 'Body: ', h('code', {}, type)));
		parts.push(...table(`${name}, ${type}`, ['Field', 'Type', 'Meaning'], properties(api, content.schema)));
	}
	parts.push(h(subheading, {}, 'Answers'));
	const answers = Object.entries(operation.responses ?? {});
	parts.push(...table(`${name}, answers`, ['Status', 'Meaning'], answers.map(([status, response]) => {
		const what = resolve(api, response);
		const types = Object.keys(what.content ?? {}).join(', ');
		return [h('code', {}, status), [what.description, types].filter(Boolean).join(' ')];
	})));
	const command = example(method, path);
	if (command) {
		const box = h('div', {});
		makeCurl(box)(command);
		parts.push(h('details', { class: 'curl' }, h('summary', {}, 'curl'), box));
	}
	return h('details', { class: 'route' }, h('summary', {}, h('span', { class: 'method' }, method.toUpperCase()),
		h('span', { class: 'path' }, path), h('span', { class: 'what' }, operation.summary ?? '')), h('div', {}, ...parts));
}

// Fills the box with every route of the API, within this server's limits.
export function showReference(box, api, model_, subheading_ = 'h4') {
	model = model_;
	subheading = subheading_;
	const methods = ['get', 'post', 'put', 'delete'];
	const routes = Object.entries(api.paths ?? {}).flatMap(([path, item]) =>
		methods.filter((method) => item[method]).map((method) => route(api, path, method, item[method])));
	box.replaceChildren(...routes);
}
