// Answers: the neighbors that were found, how long it took, and what another index or another run has found.

import { finish, scaleBars } from './cards.js';
import { $, button, count, element, say } from './dom.js';
import { NAMES, TITLES } from './settings.js';

/**
 * Draw an answer and what the other index has found. `draw` makes a card of a neighbor; `showAnyway` is called when the
 * nearest images are wanted although none is similar.
 */
export function drawAnswer(reply, draw, showAnyway) {
  const { answer, comparison, similar } = reply;
  const other = comparison && NAMES[comparison.index];
  const here = new Set(answer.neighbors.map(({ key }) => key));
  const there = new Set((comparison ?? answer).neighbors.map(({ key }) => key));
  const missed = (comparison ?? answer).neighbors.filter(({ key }) => !here.has(key));
  const extra = answer.neighbors.filter(({ key }) => !there.has(key));
  const shown = [...answer.neighbors, ...missed];
  if (shown.length) scaleBars([$('results'), $('missed-images'), $('beside-images')], shown.map(({ cosine }) => cosine));

  finish($('results'), answer.neighbors.map((each) => draw(each, there.has(each.key) ? '' : `Not found by ${other}`)));
  $('missed').hidden = missed.length === 0;
  $('missed-title').textContent = `Found by ${other} only`;
  $('missed-images').replaceChildren(...missed.map((each) => draw(each, '', false)));
  drawTimes(reply, other, extra.length, missed.length);
  $('results').setAttribute('aria-label', similar ? 'Similar images' : 'Nearest images');
  $('result-tools').hidden = !answer.neighbors.length;
  if (!answer.neighbors.length) $('results').replaceChildren(element('li', { className: 'nothing' }, ...explainNothing(reply, showAnyway)));
  say(summaryOf(answer, similar));
}

function drawTimes({ answer, comparison, embed_milliseconds: embedding }, other, extra, missed) {
  const row = (title, what, milliseconds) => element('tr', {},
    element('th', { scope: 'row' }, title), element('td', {}, what), element('td', {}, duration(milliseconds)));
  const rows = [answer, comparison].filter(Boolean).map(({ index, source, milliseconds }) => row(TITLES[index], source, milliseconds));
  if (embedding != null) rows.push(row('Embedding', 'of the picture', embedding));
  $('comparison').replaceChildren(element('table', {}, element('tbody', {}, ...rows)),
    comparison && answer.neighbors.length ? element('p', {}, difference(answer, other, extra, missed)) : '');
}

/** The answer of the other run, and which of the images only one of the two has found. */
export function drawBeside({ answer }, beside, draw) {
  $('beside-results').hidden = !beside;
  $('found').classList.toggle('two', Boolean(beside));
  if (!beside) return;
  const place = (neighbors) => new Map(neighbors.map(({ key }, i) => [key, i + 1]));
  const [ours, theirs] = [place(answer.neighbors), place(beside.answer.neighbors)];
  const note = (mine, others, key) => {
    if (!others.has(key)) return 'Only here';
    return others.get(key) === mine.get(key) ? '' : `There ${ordinal(others.get(key))}`;
  };
  scaleBars([$('results'), $('beside-images')], [...answer.neighbors, ...beside.answer.neighbors].map(({ cosine }) => cosine));
  $('results').replaceChildren(...answer.neighbors.map((each) => draw(each, note(ours, theirs, each.key))));
  $('beside-images').replaceChildren(...beside.answer.neighbors.map((each) => draw(each, note(theirs, ours, each.key), false)));
  const shared = [...ours.keys()].filter((key) => theirs.has(key)).length;
  say(`${shared} of ${count(answer.neighbors.length, 'image')} found by both runs`);
}

const ordinal = (place) => `${place}${{ 1: 'st', 2: 'nd', 3: 'rd' }[place % 100 > 10 && place % 100 < 14 ? 0 : place % 10] ?? 'th'}`;

function summaryOf({ index, neighbors, milliseconds }, similar) {
  if (!similar) return neighbors.length ? 'Nothing similar is indexed. These are only the nearest.' : 'Nothing similar is indexed.';
  if (!neighbors.length) return 'Nothing found.';
  return `${count(neighbors.length, 'similar image')} by ${NAMES[index]} in ${duration(milliseconds)}`;
}

/** What to say in place of results that there are not. */
function explainNothing({ similar, novelty }, showAnyway) {
  if (similar) {
    return [element('h3', {}, 'There is no other image like this'),
      element('p', {}, 'None has what the settings ask for: class, split or finding.')];
  }
  const { distance, max_distance: most } = novelty;
  const reason = `The nearest indexed image is at a distance of ${distance.toFixed(4)}. `
    + `Up to ${most.toFixed(4)}, an image counts as similar.`;
  return [element('h3', {}, 'Nothing similar is indexed'), element('p', {}, reason),
    button('Show the nearest anyway', showAnyway, { className: 'button strong' })];
}

function difference({ index, neighbors }, other, extra, missed) {
  if (!extra && !missed) return 'Both found the same neighbors.';
  return `${extra} of ${count(neighbors.length, 'neighbor')} found by ${NAMES[index]} only, ${missed} by ${other} only.`;
}

const duration = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
