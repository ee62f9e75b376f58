// The browser tests named in the arguments (draw, stream, ...) in one process: they share a browser, and most of them a
// daemon. Run by browser.sh.
import { after } from 'node:test';
import { closeShared } from './support.mjs';

after(closeShared);
for (const name of process.argv.slice(2)) {
	await import(`./${name}.mjs`);
}
