// Starts the page: tabs, the state of the connection, the key, the model.
import { getJson, onKeyWanted, tryNow, watchLink } from './api.js';
import * as about from './about.js';
import * as blend from './blend.js';
import * as classify from './classify.js';
import * as generate from './generate.js';
import * as sample from './sample.js';
import { $, $$, explainTerms, readAddress, setUpCard } from './widgets.js';

const panels = { classify, generate, blend, sample, about };
let model = null;
const addresses = {}; // of each tab, when it was left

// --- tabs ----------------------------------------------------------------------------------------------------------

function show(name, focus) {
	for (const tab of $$('[role=tab]')) {
		const on = tab.id === `tab-${name}`;
		tab.setAttribute('aria-selected', String(on));
		tab.tabIndex = on ? 0 : -1;
		if (on && focus) {
			tab.focus();
		}
	}
	for (const id of Object.keys(panels)) {
		$(`#${id}`).hidden = id !== name;
	}
	if (model) {
		panels[name].open?.();
	}
}

// Back and forward, or another address typed in: the tab shows what it showed there.
function comeBack() {
	classify.keep();
	show(current());
	if (model) {
		panels[current()].follow?.(readAddress(current()));
	}
}

const current = () => {
	const [name] = location.hash.slice(1).split('?');
	return Object.hasOwn(panels, name) ? name : 'classify';
};

function setUpTabs() {
	const tabs = $$('[role=tab]');
	const go = (tab) => {
		const name = tab.id.slice(4);
		if (name !== current()) {
			addresses[current()] = location.hash;
			history.pushState(history.state, '', addresses[name] ?? `#${name}`);
		}
		show(name, true);
	};
	tabs.forEach((tab, i) => {
		tab.addEventListener('click', () => go(tab));
		tab.addEventListener('keydown', (event) => {
			const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
			if (to !== undefined) {
				event.preventDefault();
				go(tabs[(to + tabs.length) % tabs.length]);
			}
		});
	});
	addEventListener('popstate', comeBack);
	show(current());
}

// --- the connection ------------------------------------------------------------------------------------------------

const phrases = {
	loading: 'connecting',
	ready: 'ready',
	busy: 'busy',
	offline: 'offline',
	locked: 'locked',
};
let counting = null;

function showLink(link) {
	clearInterval(counting);
	$('#pill').dataset.state = link.state;
	$('#pill-text').textContent = link.state === 'ready' && model ? model.name : phrases[link.state];
	const notice = $('#notice');
	notice.hidden = link.state !== 'busy' && link.state !== 'offline';
	$('#notice-count').textContent = '';
	if (link.state === 'offline') {
		$('#notice-text').textContent = 'The connection to the server is lost. Trying again until it is back.';
	} else if (link.state === 'busy') {
		$('#notice-text').textContent = link.words || 'The server is busy.';
		const count = () => {
			const left = Math.max(0, Math.ceil((link.until - Date.now()) / 1000));
			$('#notice-count').textContent = left ? `Trying again in ${left} s.` : 'Trying again.';
		};
		count();
		counting = setInterval(count, 250);
	} else {
		$('#notice-text').textContent = '';
	}
}

function askKey(rejected) {
	const dialog = $('#key');
	$('#key-text').textContent = rejected
		? 'That key was not accepted. Try another one.'
		: 'It is kept in this page\'s memory only and forgotten when you leave.';
	$('#key-value').value = '';
	dialog.returnValue = '';
	dialog.showModal();
	return new Promise((resolve) => {
		dialog.addEventListener('close', () => {
			resolve(dialog.returnValue === 'ok' ? $('#key-value').value.trim() : null);
			$('#key-value').value = '';
		}, { once: true });
	});
}

// --- the model -----------------------------------------------------------------------------------------------------

function describe(raw) {
	const names = raw.classes.map(String);
	const [height, width, channels] = raw.image;
	const isDigits = names.length > 1 && names.length <= 10 && names.every((name, i) => name === String(i));
	return {
		raw, names, height, width, channels, name: raw.name, checksum: raw.checksum, isDigits,
		// MNIST's own: white ink on black, which light pages show inverted
		isMnist: isDigits && names.length === 10 && height === 28 && width === 28
			&& raw.defaults.classify.preprocess === 'mnist',
		noun: isDigits ? 'digit' : 'picture',
		// a class as requests name it
		classOf: (i) => (isDigits ? { digit: i } : { class: names[i] }),
		nameOf: (i) => (isDigits ? i : names[i]),
	};
}

// What the page says of digits, and the shape of pictures, follow the model.
function showModel() {
	const { style } = document.documentElement;
	style.setProperty('--aspect', model.width / model.height);
	if (model.raw.defaults.classify.preprocess !== 'mnist') {
		style.setProperty('--picture', 'none');
	}
	if (!model.isDigits) {
		$$('[data-other]').forEach((node) => { node.textContent = node.dataset.other; });
	}
	$('#pill-text').textContent = model.name;
}

async function start() {
	setUpTabs();
	watchLink(showLink);
	onKeyWanted(askKey);
	$('#notice-now').addEventListener('click', tryNow);
	setUpCard((blob, framed) => {
		history.pushState(history.state, '', '#classify');
		show('classify', true);
		classify.classifyThis(blob, framed);
	});
	explainTerms();
	model = describe(await getJson('v1/model'));
	showModel();
	Object.values(panels).forEach((panel) => panel.setUp(model));
	document.documentElement.dataset.ready = '';
	show(current());
}

start().catch((error) => {
	$('#notice').hidden = false;
	$('#notice-text').textContent = `This page could not start: ${error.message}`;
});
