// What the audit has found, and its review: a finding as a decision, which goes into data/corrections.csv.

import { write } from './address.js';
import { decide, getFindings, nearestOf, thumbnailUrl } from './api.js';
import { isClass, nameOf, picture, thumbnail, titleOfFinding } from './cards.js';
import { $, breakable, button, complain, count, element, onKeys, say } from './dom.js';
import { Grid } from './grid.js';

const SIZE = 60; // findings that are asked for at a time
const EXAMPLES = 6; // nearest images that are shown of a class

const grid = new Grid($('found-findings'), { draw: findingCard, open: openReview, size: SIZE, scale: 1.6 });
const dialog = $('review');
let list = null;      // what is looked through: { total, entry(i), redraw() }
let place = 0;
let finding = null;   // what is shown
let subject = null;   // { key, label, suggested }: the image that a decision is about
let classes = [];

export async function showFindings(state, info, { signal, commit }) {
  const get = (page, options) => getFindings({ kind: state.kind, page, size: SIZE }, options);
  const first = await get(1, { signal });
  commit();
  const all = first.counts.reduce((sum, { findings }) => sum + findings, 0);
  const chips = first.counts.map(({ kind, findings }) => [titleOfFinding(kind), kind, findings]);
  $('kinds').replaceChildren(...(all ? [['All', '', all], ...chips] : []).map(([name, kind, size]) => element('a',
    { href: write({ view: 'findings', kind }), className: 'chip', ...(kind === state.kind && { 'aria-current': 'true' }) },
    name, ' ', element('span', {}, size.toLocaleString('en')))));
  grid.show(first.total, async (page) => (await get(page)).findings, first.findings);
  const nothing = first.audited ? 'Nothing suspicious was found.' : 'The data have not been audited: run `dvc repro audit`.';
  say(first.total ? count(first.total, 'finding') : nothing);
}

function findingCard(finding) {
  const { kind, key, label, other, indexed } = finding;
  const shown = [indexed && key, other].filter(Boolean);
  const decision = decisionOf(finding);
  return element('li', { className: decision ? 'decided' : '' },
    element('a', { className: 'card', href: write({ view: 'findings', kind }), title: explain(finding) },
      element('span', { className: 'pair' }, ...shown.map((each) => thumbnail({ key: each }, { alt: each })),
        shown.length ? null : element('span', { className: 'picture placeholder' }, key ?? label ?? '')),
      element('span', { className: 'line' }, element('b', {}, decision ? `✓ ${decision}` : titleOfFinding(kind)), ' ',
        element('span', {}, explain(finding)))));
}

// Review

export function setUpReview({ data }) {
  classes = data.classes.map(({ name }) => name).filter(isClass);
  $('review-close').addEventListener('click', () => dialog.close());
  onKeys(dialog, {
    r: () => keep('right'), l: () => keep('relabel'), o: () => keep('leave_out'), u: () => keep('undecided'), s: () => show(place + 1),
    ArrowRight: () => show(place + 1), ArrowLeft: () => show(place - 1), t: () => finding.other && choose(subject.key === finding.key),
  }, ({ target }) => target.tagName !== 'SELECT');
  dialog.addEventListener('close', () => list.redraw());
}

/** Decide about some findings, from a place on. */
export const reviewAll = (found, i = 0) => openReview({ total: found.length, entry: async (at) => found[at], redraw: () => {} }, i);

/** Decide about the findings of a list, from a place on. */
function openReview(from, i) {
  list = from;
  if (!dialog.open) dialog.showModal();
  return show(i);
}

/** A decision in words; nothing if there is none. */
export const decisionOf = ({ decision, decided_label: label }) =>
  ({ right: 'Label is right', relabel: `Relabel as ${label}`, leave_out: 'Leave out' })[decision] ?? '';

/** What was found, as one says it. */
export function explain({ suggested, score, explanation, kind }) {
  if (!kind) return 'Choose its class.';
  if (!suggested) return explanation;
  return `Looks more like ${suggested}${score ? ` (${Math.round(100 * score)} %)` : ''}.`;
}

async function show(i) {
  if (i >= list.total) return void dialog.close();
  if (i < 0) return;
  place = i;
  const found = await list.entry(i);
  if (place !== i) return;
  finding = found;
  $('review-title').textContent = [finding.kind ? titleOfFinding(finding.kind) : 'Label', list.total > 1 && `${i + 1} of ${list.total}`].filter(Boolean).join(' · ');
  choose(Boolean(finding.decided_key) && finding.decided_key !== finding.key);
  $('review-title').focus();
}

/** Make one of the two images of a pair the one that a decision is about. */
function choose(isOther) {
  const { key, label, other, other_label: otherLabel, suggested } = finding;
  subject = isOther ? { key: other, label: otherLabel, suggested: label } : { key, label, suggested: suggested ?? (otherLabel === label ? null : otherLabel) };
  draw();
}

function draw() {
  const { key, label, other, other_label: otherLabel, indexed } = finding;
  const figures = [key && figure(key, label, indexed), other && figure(other, otherLabel, true)].filter(Boolean);
  const evidence = other || !key || !indexed ? [] : [label, subject.suggested].filter((each, i) => isClass(each) || !i).map(examples);
  $('review-body').replaceChildren(
    element('p', {}, explain(finding), ' ', element('b', { className: 'decision' }, decisionOf(finding))),
    element('div', { className: 'sides' }, ...figures, ...evidence));
  const to = element('select', { id: 'relabel', 'aria-label': 'New class' }, ...classes.map((name) => element('option', { value: name }, name)));
  to.value = finding.decided_label ?? subject.suggested ?? subject.label;
  const keys = [['R', 'Label is right', 'right'], ['O', 'Leave out', 'leave_out'], ['U', 'Undo', 'undecided']]
    .map(([letter, name, decision]) => keyed(letter, name, () => keep(decision)));
  keys[2].hidden = !finding.decision;
  const relabel = element('span', { className: 'actions' }, keyed('L', 'Relabel as', () => keep('relabel')), to);
  const skip = keyed('S', 'Skip', () => show(place + 1));
  $('review-keys').replaceChildren(...(key ? [keys[0], relabel, keys[1], skip, keys[2]] : [skip]));
}

const keyed = (letter, name, act) => button(name, act, { title: `Key ${letter}`, 'data-letter': letter });

function figure(key, label, indexed) {
  const isSubject = key === subject.key;
  const picked = element('figure', { className: isSubject ? 'subject' : '' },
    indexed ? picture(thumbnailUrl({ key }, 1024), { className: 'picture large', alt: nameOf(key) }, 'No picture') : null,
    element('figcaption', {}, element('b', {}, label ?? ''), ' ', element('span', { className: 'key' }, ...breakable(key))));
  if (finding.other && !isSubject) picked.append(button('Decide about this one', () => choose(key === finding.other), { title: 'Key T' }));
  return picked;
}

/** The images of a class that are nearest to the image in question. */
function examples(label) {
  const shown = element('ul', { className: 'few', role: 'list', 'aria-label': `Nearest of class ${label}` });
  nearestOf(finding.key, label, EXAMPLES).then((found) => {
    shown.replaceChildren(...found.map((each) => element('li', {}, thumbnail(each, { alt: nameOf(each.key), title: each.key }))));
  }, (error) => complain(error.message));
  return element('section', {}, element('h3', {}, label === finding.label ? `Nearest ${label} (its label)` : `Nearest ${label}`), shown);
}

async function keep(decision) {
  if (!subject.key) return;
  const label = decision === 'relabel' ? $('relabel').value : '';
  if (label === subject.label) decision = 'right';
  try {
    await decide({ key: subject.key, decision, label: decision === 'relabel' ? label : '' });
  } catch (error) {
    dialog.close();
    return void complain(error.message, () => openReview(list, place));
  }
  Object.assign(finding, { decision: decision === 'undecided' ? null : decision, decided_key: subject.key, decided_label: label || null });
  if (decision === 'undecided') draw();
  else show(place + 1);
}
