// The whole page: which view is shown, its address and history, the header and the footer.

import { read, write } from './address.js';
import { TransientError, getFindings, getInfo } from './api.js';
import { setUpBrowse, showBrowse } from './browse.js';
import { isClass } from './cards.js';
import { $, calm, complain, count, say, setUpMessage } from './dom.js';
import { setUpReview, showFindings } from './findings.js';
import { setUpFreshness } from './freshness.js';
import { setUpGrids } from './grid.js';
import { setUpMap, showMap } from './map.js';
import { setUpRuns, showRuns } from './runs.js';
import { setUpSearch, showSearch } from './search.js';
import { setUpSelection } from './selection.js';
import { settings } from './settings.js';
import { setUpUploads, uploads } from './uploads.js';
import { setUpViewer } from './viewer.js';

const VIEWS = {
  search: { section: $('search'), link: $('to-search'), title: 'Which images look like this one?', fill: showSearch },
  browse: { section: $('browse'), link: $('to-browse'), title: 'Browse', fill: showBrowse },
  findings: { section: $('findings'), link: $('to-findings'), title: 'Findings', fill: showFindings },
  map: { section: $('map-view'), link: $('to-map'), title: 'Map', fill: showMap },
  runs: { section: $('runs'), link: $('to-runs'), title: 'Runs', fill: showRuns },
};

let request = new AbortController(); // of what is being shown; a newer one aborts it
let pending = 0;                     // timer of a visit that waits a little, as more may come
let latest = null;                   // what that visit does
let current = read(location.search); // the state that is shown

/** Go to a state: a new entry in the history, or the present one changed. Of those that come within a delay, the last. */
function visit(state, { replace = false, delay = 0 } = {}) {
  if (delay) {
    latest = () => visit(state, { replace });
    pending ||= setTimeout(() => latest(), delay);
    return null;
  }
  const address = write(state);
  const retry = () => visit(state, { replace });
  if (replace || new URL(address, document.baseURI).search === location.search) {
    return show(state, { enter: () => history.replaceState(history.state, '', address), retry });
  }
  const enter = () => {
    keepPlace();
    history.pushState(null, '', address);
  };
  return show(state, { enter, scroll: 0, focus: true, retry });
}

/**
 * Show a state. What is on the page stays, and so does the address, until the view has what it needs and calls `commit`: where
 * that fails, nothing is lost. Only the latest call gets to finish. Without `scroll`, the page stays where it is.
 */
async function show(asked, { enter = () => {}, scroll = null, focus = false, retry }) {
  clearTimeout(pending);
  pending = 0;
  request.abort();
  request = new AbortController();
  const { signal } = request;
  const state = read(new URL(write(asked), document.baseURI).search);
  const { fill, link } = VIEWS[state.view];
  let isEntered = false;
  const commit = () => {
    signal.throwIfAborted();
    if (isEntered) return;
    isEntered = true;
    calm();
    enter();
    turnTo(state);
    link.href = write(state); // from another view, the link leads back to this state
    if (focus) $('title').focus({ preventScroll: true });
    if (scroll === 0) scrollTo(0, 0);
  };
  document.body.setAttribute('aria-busy', 'true');
  try {
    await fill(state, await ready(), { signal, commit, visit });
    if (scroll) scrollTo(0, scroll);
  } catch (error) {
    if (signal.aborted) return;
    say('');
    complain(error.message, error instanceof TransientError ? retry : null);
  } finally {
    if (!signal.aborted) document.body.removeAttribute('aria-busy');
  }
}

/** Have one of the views on the page. */
function turnTo(state) {
  current = state;
  for (const [name, { section, link }] of Object.entries(VIEWS)) {
    section.hidden = name !== state.view;
    if (name === state.view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  $('title').textContent = VIEWS[state.view].title;
  document.title = [titleOf(state), 'Image similarity'].filter(Boolean).join(' · ');
  const { key, upload } = state;
  if (state.view === 'search') VIEWS.map.link.href = write({ view: 'map', key, upload });
}

function titleOf({ view, key, upload, label }) {
  if (view === 'search') return key[0] ?? uploads.get(upload[0])?.name;
  return [VIEWS[view].title, label].filter(Boolean).join(' ');
}

/** Remember where one is, for those who come back. */
const keepPlace = () => document.body.ariaBusy !== 'true' && history.replaceState({ scroll: scrollY }, '');

/** Show what the address says, as on a reload or after going back. */
function arrive(scroll, focus = false) {
  const state = read(location.search);
  turnTo(state);
  return show(state, { scroll, focus, retry: () => arrive(scroll, focus) });
}

function followLink(event) {
  const link = event.target.closest?.('a[href]');
  const plain = !event.defaultPrevented && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.target || link.download || link.origin !== location.origin || link.pathname !== location.pathname) return;
  event.preventDefault();
  visit(read(link.search));
}

function drawFacts({ model, data, metrics }) {
  const classes = data.classes.filter(({ name }) => isClass(name));
  const kinds = classes.length ? count(classes.length, 'class', 'classes') : 'no classes';
  const precision = metrics.retrieval?.p_at_10;
  $('facts').textContent = [count(data.images, 'image'), kinds, `${model.backbone}, ${model.image_size} px`, precision && `P@10 ${precision.toFixed(3)}`,
    `model ${model.md5?.slice(0, 8)}`, `data ${data.md5?.slice(0, 8)}`].filter(Boolean).join(' · ');
}

/** What all views need to know of what is served, and the controls that depend on it. */
async function start() {
  const [info, { counts }] = await Promise.all([getInfo(), getFindings({ size: 1 })]);
  drawFacts(info);
  setUpFreshness(info);
  setUpSearch(info, counts, visit);
  setUpBrowse(info, counts, visit);
  setUpRuns(info);
  setUpReview(info);
  setUpSelection((key) => visit({ ...settings(), view: 'search', key }), info.limits.images);
  return info;
}

let starting = null;
const ready = () => (starting ??= start().catch((error) => {
  starting = null; // for Retry
  throw error;
}));

let scrolled = 0;
addEventListener('scroll', () => {
  clearTimeout(scrolled);
  scrolled = setTimeout(keepPlace, 150);
}, { passive: true });
addEventListener('popstate', ({ state }) => {
  clearTimeout(scrolled);
  arrive(state?.scroll ?? 0, true);
});
addEventListener('click', followLink);
history.scrollRestoration = 'manual';

setUpMessage();
setUpGrids($('size'));
setUpMap(visit);
setUpViewer(visit);
setUpUploads(() => ready().then(({ limits }) => limits.upload_bytes, () => Infinity), (numbers, joins) => (joins
  ? visit({ ...current, region: '', upload: [...current.upload, ...numbers] })
  : visit({ ...settings(), ...(current.view === 'map' && current), key: [], upload: numbers })));
arrive(history.state?.scroll ?? 0);
