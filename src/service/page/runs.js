// Two runs compared as pictures: what each finds for the same image, and what only one of them does.

import { getChanges, search } from './api.js';
import { card, nameOf, thumbnail } from './cards.js';
import { write } from './address.js';
import { $, element, say } from './dom.js';
import { settings } from './settings.js';

const SHOWN = 10; // results of each run
const QUERIES = 20;

let names = ['Served', ''];

export function setUpRuns({ beside }) {
  $('to-runs').hidden = !beside;
  names = ['Served', beside?.revision ?? ''];
  for (const each of document.querySelectorAll('.beside-name')) each.textContent = names[1];
}

/** The results of two runs, one above the other; those that only one has are outlined. */
export function runRow(query, ours, theirs) {
  const strip = (found, others, name) => {
    const known = new Set(others.map(({ key }) => key));
    return element('div', { className: 'run' }, element('h3', {}, name),
      element('ol', { className: 'strip', role: 'list', 'aria-label': `Results of ${name}` }, ...found.map((each) =>
        card(each, settings(), { only: !known.has(each.key), note: known.has(each.key) ? '' : 'only here' }))));
  };
  const lists = [ours, theirs].map((found) => found.slice(0, SHOWN));
  const of = query && element('a', { className: 'card', href: write({ key: [query.key] }) },
    thumbnail(query, { alt: `Query: ${nameOf(query.key)}` }), element('span', { className: 'line' }, query.label));
  return element('div', { className: 'run-row' }, of,
    element('div', { className: 'run-pair' }, strip(lists[0], lists[1], names[0]), strip(lists[1], lists[0], names[1])));
}

export async function showRuns(state, info, { signal, commit }) {
  if (!info.beside) {
    commit();
    return void say('Start the service with `--compare REVISION` to compare two runs.');
  }
  const { changes } = await getChanges(QUERIES, { signal });
  commit();
  $('run-rows').replaceChildren();
  say(changes.length ? `${changes.length} images whose results changed most` : 'Both runs find the same.');
  for (const { query } of changes) {
    const of = { key: [query.key], files: [], like: [], unlike: [], region: '' };
    const [ours, theirs] = await Promise.all([{}, { run: 'beside' }].map((run) => search(of, { k: SHOWN, ...run }, { signal })));
    $('run-rows').append(runRow(query, ours.answer.neighbors, theirs.answer.neighbors));
  }
}
