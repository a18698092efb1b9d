// A banner that says when there are newer results than those on the page, and what to do.

import { getInfo, reload, whyMissing } from './api.js';
import { $, complain } from './dom.js';

const PAUSE = 60_000; // milliseconds between two questions

let served = null;   // what the page has loaded, by its digests
let isStale = false; // whether the files are newer than what is served
let missing = '';    // why the first picture that could not be shown was not there

const version = ({ data, model, indexes }) => [data.md5, model.md5, indexes.approximate.md5].join();

export function setUpFreshness(info) {
  served = version(info);
  show(info);
  setInterval(() => document.visibilityState === 'visible' && ask(), PAUSE);
  $('reload').addEventListener('click', async () => {
    try {
      if (isStale) await reload();
      location.reload();
    } catch (error) {
      complain(error.message);
    }
  });
}

/** A picture of an indexed image was not given: find out why, and whether all is out of date. */
export async function noteMissing(entry) {
  if (missing) return;
  missing = '…';
  missing = await whyMissing(entry);
  if (missing) await ask();
}

async function ask() {
  try {
    show(await getInfo());
  } catch {
    // whatever is asked for next will say so
  }
}

function show(info) {
  isStale = info.out_of_date;
  const isNew = isStale || served !== version(info);
  $('stale').hidden = !isNew && !missing;
  $('stale-text').textContent = isNew ? 'New results are available. Reload to use them.' : missing;
  $('reload').hidden = !isNew;
}
