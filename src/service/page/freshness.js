// Telling when what is served is not what is on the disk any more: a banner that says what to do.

import { getInfo, whyMissing } from './api.js';
import { $ } from './dom.js';

const PAUSE = 60_000; // milliseconds between two questions, at least

let served = null;  // what the page has loaded, by its digests
let asked = 0;      // when the server was asked last
let missing = '';   // why the first picture that could not be shown was not there

const version = ({ data, model, indexes }) => [data.md5, model.md5, indexes.approximate.md5].join();

export function setUpFreshness(info) {
  served = version(info);
  asked = Date.now();
  show(info);
  const askAgain = () => document.visibilityState === 'visible' && Date.now() - asked >= PAUSE && ask();
  document.addEventListener('visibilitychange', askAgain);
  setInterval(askAgain, PAUSE);
  $('load-new').addEventListener('click', () => location.reload());
}

/** A picture of an indexed image was not given: find out why, and whether all is out of date. */
export async function noteMissing(key) {
  if (missing) return;
  missing = '…';
  missing = await whyMissing(key);
  if (missing) await ask();
}

async function ask() {
  asked = Date.now();
  try {
    show(await getInfo());
  } catch {
    // whatever is asked for next will say so
  }
}

function show(info) {
  const isNew = served !== version(info);
  const stale = info.out_of_date;
  const text = isNew ? 'The service has new results.' : reasonOf(stale) || missing;
  $('stale').hidden = !text;
  $('stale-text').textContent = text;
  $('load-new').hidden = !isNew;
}

const reasonOf = (stale) => (stale === true
  ? 'The files have changed since the service has read them. Reload the service (docs/explanation/threat-model.md says how) or restart it, '
    + 'then reload this page.'
  : stale || '');
