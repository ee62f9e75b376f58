// About: the model that answers, and the interface as openapi.json tells it.
import { curlForm, curlJson, base, getJson } from './api.js';
import { $, h, makeCurl, showProblem } from './widgets.js';

let model;
let started = false;

export function setUp(model_) {
	model = model_;
	$('#links').replaceChildren(...[['openapi.json', 'openapi.json'], ['metrics', 'metrics'], ['health', 'health']]
		.map(([text, path]) => h('a', { href: path }, text)));
}

export async function open() {
	if (started) {
		return;
	}
	started = true;
	const controller = new AbortController();
	try {
		const get = (path) => getJson(path, controller.signal);
		const [version, api] = await Promise.all([get('version'), get('openapi.json')]);
		showFacts(version);
		showReference(api);
	} catch (error) {
		started = false;
		showProblem($('#about'), $('#about-problem'), error);
	}
	$('#reference').removeAttribute('aria-busy');
	$('#about').dataset.state = 'done';
}

const plain = (value) => (typeof value === 'number' ? value.toLocaleString('en') : String(value));

// What the checkpoint's metadata is worth showing: key, words, how to write it.
const told = [
	['test_accuracy', 'Accuracy', (value) => `${(100 * value).toFixed(2)} % of the test set`],
	['holdout_accuracy', 'Accuracy, held out', (value) => `${(100 * value).toFixed(2)} % of images kept back`],
	['test_ode_accuracy', 'Step by step', (value) => `${(100 * value).toFixed(2)} % of the test set`],
	['test_drawn_agreement', 'Drawn as asked', (value) => `${(100 * value).toFixed(1)} %`],
	['epochs', 'Passes', (value) => `${value} over ${plain(Number(model.raw.training.training_images))} images`],
	['data_digest', 'Data digest', String],
	['program', 'Trained by', String],
];

function showFacts(version) {
	const training = model.raw.training ?? {};
	const { network = {} } = model.raw;
	const facts = [
		['Model', model.name],
		['Checksum', model.checksum],
		...told.filter(([key]) => training[key] !== undefined).map(([key, words, write]) => [words, write(training[key])]),
		['Parameters', model.raw.parameters],
		['Network', Object.entries(network).map(([key, value]) => `${key.replace(/_/g, ' ')} ${value}`).join(', ')],
		['Image', `${model.height} x ${model.width} x ${model.channels}`],
		['Classes', model.names.join(', ')],
		['Server', `${version.name} ${version.version}, ${version.isa}`],
	].filter(([, value]) => value !== undefined && value !== '');
	$('#facts').replaceChildren(...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, plain(value))]));
	showTraining(training);
}

// The rest of the metadata, for those who want to train it again.
function showTraining(training) {
	const rest = Object.entries(training).filter(([key]) => !told.some(([known]) => known === key));
	$('#training').hidden = !rest.length;
	$('#training dl').replaceChildren(...rest.flatMap(([key, value]) => [h('dt', {}, key), h('dd', {}, String(value))]));
}

// --- the interface -------------------------------------------------------------------------------------------------

function resolve(api, node) {
	for (let i = 0; i < 8 && node?.$ref; i++) {
		node = node.$ref.replace(/^#\//, '').split('/')
			.reduce((at, name) => at?.[name.replace(/~1/g, '/').replace(/~0/g, '~')], api);
	}
	return node ?? {};
}

function typeOf(api, schema) {
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
		text += `, ${s.minimum ?? '…'} to ${s.maximum ?? '…'}`;
	}
	return s.default === undefined ? text : `${text}, default ${JSON.stringify(s.default)}`;
}

function table(heading, rows) {
	if (!rows.length) {
		return [];
	}
	const body = rows.map((cells) => h('tr', {}, ...cells.map((cell) => h('td', {}, cell))));
	const head = h('tr', {}, ...heading.map((name) => h('th', { scope: 'col' }, name)));
	return [h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': heading[0] },
		h('table', {}, h('thead', {}, head), h('tbody', {}, ...body)))];
}

function properties(api, schema) {
	const s = resolve(api, schema);
	const parts = [s, ...(s.allOf ?? []), ...(s.oneOf ?? []), ...(s.anyOf ?? [])].map((part) => resolve(api, part));
	const rows = new Map();
	for (const part of parts) {
		for (const [name, value] of Object.entries(part.properties ?? {})) {
			const field = resolve(api, value);
			rows.set(name, [h('code', {}, name), typeOf(api, value), value.description ?? field.description ?? '']);
		}
	}
	return [...rows.values()];
}

function example(method, path) {
	const known = {
		'/v1/classify': () => curlForm('v1/classify', 'digit.png', {}),
		'/v1/generate': () => curlJson('v1/generate', { digit: 7, count: 16, seed: 1 }, 'sevens.png'),
		'/v1/blend': () => curlJson('v1/blend', { from: 6, to: 7, columns: 9, rows: 4, seed: 1 }, 'blend.png'),
		'/v1/sample': () => curlJson('v1/sample', { count: 4, seed: 1 }),
	};
	if (method === 'post') {
		return known[path]?.();
	}
	return path.includes('{') ? undefined : `curl '${new URL(path.replace(/^\//, ''), base).href}'`;
}

function route(api, path, method, operation) {
	const parameters = (operation.parameters ?? []).map((parameter) => resolve(api, parameter));
	const body = resolve(api, operation.requestBody);
	const parts = [h('p', {}, operation.description ?? '')];
	parts.push(...table(['Parameter', 'Type', 'Meaning'],
		parameters.map((p) => [h('code', {}, p.name), typeOf(api, p.schema), p.description ?? ''])));
	for (const [type, content] of Object.entries(body.content ?? {})) {
		parts.push(h('h4', {}, 'Body: ', h('code', {}, type)));
		parts.push(...table(['Field', 'Type', 'Meaning'], properties(api, content.schema)));
	}
	parts.push(h('h4', {}, 'Answers'));
	parts.push(...table(['Status', 'Meaning'], Object.entries(operation.responses ?? {}).map(([status, response]) => {
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

function showReference(api) {
	const methods = ['get', 'post', 'put', 'delete'];
	const routes = Object.entries(api.paths ?? {}).flatMap(([path, item]) =>
		methods.filter((method) => item[method]).map((method) => route(api, path, method, item[method])));
	$('#reference').replaceChildren(...routes);
}
