// Answers: the neighbors that were found, and what another run has found.

import { finish, scaleBars } from './cards.js';
import { $, button, count, element, say } from './dom.js';
import { NAMES } from './settings.js';

/**
 * Draw an answer. `draw` makes a card of a neighbor; `showAnyway` is called when the nearest images are wanted although
 * none is similar.
 */
export function drawAnswer(reply, draw, showAnyway) {
  const { answer, similar } = reply;
  if (answer.neighbors.length) scaleBars([$('results')], answer.neighbors.map(({ cosine }) => cosine));
  finish($('results'), answer.neighbors.map((each) => draw(each)));
  $('results').setAttribute('aria-label', similar ? 'Similar images' : 'Nearest images');
  $('result-tools').hidden = !answer.neighbors.length;
  if (!answer.neighbors.length) $('results').replaceChildren(element('li', { className: 'nothing' }, ...explainNothing(reply, showAnyway)));
  say(summaryOf(answer, similar));
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

const duration = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
