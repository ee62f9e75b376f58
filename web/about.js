// About: the model that answers, and the interface as openapi.json tells it. What shows that is loaded with it.
import { getJson } from './api.js';
import { $, h, showProblem } from './widgets.js';

let model;
let started = false;

export function setUp(model_) {
	model = model_;
	$('#links').replaceChildren(...[
		['the API', 'docs'], ['openapi.json', 'openapi.json'], ['metrics', 'metrics'], ['health', 'health'],
	].map(([text, path]) => h('a', { href: path }, text)));
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
		const { showReference } = await import('./reference.js');
		showReference($('#reference'), api, model.raw);
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
	['holdout_accuracy', 'Accuracy, held out', (value) => `${(100 * value).toFixed(2)} % of held-out images`],
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
		['Image', `${model.width} x ${model.height}, ${model.channels === 1 ? 'grey' : 'colour'}`],
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
