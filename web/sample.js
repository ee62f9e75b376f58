// Sample: image and label settle on each other.
import { curlJson, sampleStream } from './api.js';
import { Playback, paintNoise } from './picture.js';
import {
	$, argmax, capital, clearProblem, fillFields, followAddress, h, makeCurl, makePicture, makeSeed, numberOf, percent,
	readAddress, showProblem, stepsDone, word, writeAddress,
} from './widgets.js';

let model;
let seed;
let curl;
let running = null;
let last = ''; // what was asked last

const root = () => $('#sample');
const form = () => $('#sample-form');
const part = (name) => $(`[data-${name}]`, root());

export function setUp(model_) {
	model = model_;
	fillFields(form(), model, 'sample');
	seed = makeSeed(part('seed'), () => draw(false), 1);
	curl = makeCurl(part('curl'));
	curl(curlJson('v1/sample', options()));
	form().addEventListener('submit', (event) => {
		event.preventDefault();
		draw(true);
	});
	form().addEventListener('input', () => curl(curlJson('v1/sample', options())));
	part('cancel').addEventListener('click', () => running?.abort());
	const given = readAddress('sample');
	followAddress(form(), given);
	if (given.has('seed')) {
		seed.keep();
	}
}

export function open() {
	if (!last) {
		draw(false, false);
	}
}

export function follow(given) {
	followAddress(form(), given);
	if (JSON.stringify(options()) !== last) {
		draw(false, false);
	}
}

const options = () => ({
	count: numberOf(form(), 'count'),
	seed: seed.value(),
	steps: numberOf(form(), 'steps'),
	solver: form().elements.solver.value,
});

function makePair(i, count) {
	const picture = makePicture(`Pair ${i + 1} of ${count}, being drawn`);
	paintNoise(picture.canvas, model.width, model.height);
	const name = h('p', { class: 'name' }, '\u00a0');
	const sure = h('p', { class: 'quiet' }, '\u00a0');
	const bars = model.names.map((label) => {
		const fill = h('b');
		return { fill, column: h('div', {}, h('i', {}, fill), label.length > 2 ? '' : label) };
	});
	const columns = h('div', { class: 'columns', 'aria-hidden': 'true' }, ...bars.map((bar) => bar.column));
	const box = h('div', { class: 'pair' }, h('div', {}, picture.button, name, sure), columns);
	function showLabel(label) {
		const best = argmax(label);
		bars.forEach(({ fill, column }, k) => {
			fill.style.transform = `scaleY(${Math.min(1, Math.max(0, (label[k] + 1) / 2))})`;
			column.classList.toggle('win', k === best);
		});
	}
	return {
		box, picture, showLabel,
		async show(step) {
			showLabel(step.label);
			await picture.show(step.image);
		},
		finish(pair, what) {
			showLabel(pair.label_values);
			name.textContent = capital(word(what.name));
			sure.textContent = percent(pair.confidence);
			return picture.finish(what);
		},
	};
}

// fresh: with a new seed, unless it is to be kept. add: to the history.
async function draw(fresh, add = true) {
	running?.abort();
	if (fresh) {
		seed.next();
	}
	const asked = options();
	const controller = new AbortController();
	running = controller;
	last = JSON.stringify(asked);
	curl(curlJson('v1/sample', asked));
	writeAddress('sample', asked, add);
	const count = Number.isInteger(asked.count) ? Math.min(Math.max(asked.count, 0), 256) : 0;
	const pairs = Array.from({ length: count }, (_, i) => makePair(i, count));
	part('pictures').replaceChildren(...pairs.map((pair) => pair.box));
	await run(asked, pairs, controller);
}

async function run(asked, pairs, controller) {
	const problem = $('.problem', root());
	const progress = $('progress', root());
	const status = part('status');
	const { signal } = controller;
	clearProblem(root(), problem);
	part('cancel').hidden = false;
	root().dataset.state = 'running';
	let state = 'done';
	progress.value = 0;
	progress.max = Math.max(1, pairs.length * (Number(asked.steps) || 1));
	status.textContent = 'sampling';
	const playback = new Playback((item, step) => pairs[item]?.show(step), signal);
	const steps = [];
	try {
		const answer = await sampleStream(asked, (step) => {
			progress.value = stepsDone(steps, step);
			playback.push(step.item, step);
		}, signal);
		await playback.done();
		signal.throwIfAborted();
		await Promise.all(answer.samples.map((pair, i) => pairs[i].finish(pair, {
			name: model.names[pair.label],
			title: `${capital(word(model.names[pair.label]))}, pair ${i + 1}`,
			text: `Seed ${answer.seed}, pair ${i + 1} of ${answer.samples.length}`,
			seed: answer.seed,
			base64: pair.b64_json,
			file: `pair-${answer.seed}-${i + 1}.png`,
			curl: curlJson('v1/sample', { ...asked, count: 1, index: i }, 'pair.png'),
		})));
		progress.value = progress.max;
		status.textContent = `${answer.samples.length} pairs`;
	} catch (error) {
		state = signal.aborted ? 'cancelled' : 'failed';
		status.textContent = signal.aborted ? 'cancelled' : '';
		if (!signal.aborted) {
			part('pictures').replaceChildren();
		}
		showProblem(root(), problem, error);
	}
	if (running === controller) {
		running = null;
		part('cancel').hidden = true;
		root().dataset.state = state;
	}
}
