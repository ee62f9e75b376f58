// /docs: the API's description, readable, on a page of its own.
import { getJson, onKeyWanted } from './api.js';
import { showReference } from './reference.js';
import { $ } from './widgets.js';

onKeyWanted(async () => null);
try {
	const api = await getJson('openapi.json');
	// Behind a key the model is not told; the description's own limits stand then.
	const model = await getJson('v1/model').catch(() => ({ name: 'MODEL', limits: {} }));
	showReference($('#reference'), api, model, 'h2');
	$('#reference').removeAttribute('aria-busy');
	document.documentElement.dataset.ready = '';
} catch (error) {
	$('#problem').textContent = error.message;
	$('#problem').hidden = false;
}
