// All browser tests in one process: they share a browser, and most of them a daemon. Run by browser.sh.
import { after } from 'node:test';
import { closeShared } from './support.mjs';
import './draw.mjs';
import './stream.mjs';
import './states.mjs';
import './looks.mjs';
import './faults.mjs';
import './use.mjs';

after(closeShared);
