// The whole page: which view is shown, its address and history, the header and the footer.

import { read, write } from './address.js';
import { getFindings, getInfo } from './api.js';
import { setUpBrowse, showBrowse } from './browse.js';
import { isClass, setUpCards } from './cards.js';
import { $, calm, complain, count, element, say } from './dom.js';
import { showFindings } from './findings.js';
import { setUpFreshness } from './freshness.js';
import { setUpMap, showMap } from './map.js';
import { setUpSearch, showSearch } from './search.js';
import { setUpSelection } from './selection.js';
import { settings } from './settings.js';
import { setUpUploads, uploads } from './uploads.js';

const VIEWS = {
  search: { section: $('search'), link: $('to-search'), title: 'Which images look like this one?', fill: showSearch },
  browse: { section: $('browse'), link: $('to-browse'), title: 'Browse', fill: showBrowse, list: $('images') },
  findings: { section: $('findings'), link: $('to-findings'), title: 'Findings', fill: showFindings, list: $('found-findings') },
  map: { section: $('map-view'), link: $('to-map'), title: 'Map', fill: showMap },
};

let request = new AbortController(); // of what is being shown; a newer one aborts it
let pending = 0;                     // timer of a visit that waits a little, as more may come
let latest = null;                   // what that visit does
let settled = false;                 // whether the scroll position is the person's, and not that of a page being filled
let current = read(location.search); // the state that is shown

/** Go to a state: a new entry in the history, or the present one changed. Of those that come within a delay, the last. */
async function visit(state, { replace = false, delay = 0 } = {}) {
  if (delay) {
    latest = () => visit(state, { replace });
    pending ||= setTimeout(() => latest(), delay);
    return;
  }
  const address = write(state);
  if (replace || new URL(address, document.baseURI).search === location.search) {
    history.replaceState(history.state, '', address);
    await show(read(location.search));
  } else {
    keepPlace();
    history.pushState(null, '', address);
    await show(read(location.search), { scroll: 0, focus: true });
  }
}

/** Show a state; only the latest call gets to finish. Without `scroll`, the page stays where it is. */
async function show(state, { scroll = null, shown = 0, focus = false } = {}) {
  clearTimeout(pending);
  pending = 0;
  request.abort();
  request = new AbortController();
  const { signal } = request;
  settled = scroll === null && settled;
  current = state;
  calm();
  for (const [name, { section, link }] of Object.entries(VIEWS)) {
    section.hidden = name !== state.view;
    if (name === state.view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const { link, title, fill } = VIEWS[state.view];
  link.href = write(state); // from another view, the link leads back to this state
  $('title').textContent = title;
  document.title = [titleOf(state), 'Image similarity'].filter(Boolean).join(' · ');
  if (focus) $('title').focus({ preventScroll: true });
  if (scroll === 0) scrollTo(0, 0);
  try {
    await fill(state, await ready, { signal, shown });
  } catch (error) {
    if (signal.aborted) return;
    say('');
    for (const list of document.querySelectorAll('.grid[aria-busy]')) {
      list.removeAttribute('aria-busy');
      list.replaceChildren();
    }
    complain(error.message);
  }
  if (signal.aborted) return;
  if (scroll) scrollTo(0, scroll);
  settled = true;
}

function titleOf({ view, key, upload, label }) {
  if (view === 'search') return key[0] ?? uploads.get(upload[0])?.file.name;
  return [VIEWS[view].title, label].filter(Boolean).join(' ');
}

/** Remember where one is, and how long the list was, for those who come back. */
function keepPlace() {
  const list = VIEWS[current.view].list ?? $('results');
  if (settled) history.replaceState({ scroll: scrollY, shown: list.childElementCount }, '');
}

function followLink(event) {
  const link = event.target.closest?.('a[href]');
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.target || link.download || link.origin !== location.origin || link.pathname !== location.pathname) return;
  event.preventDefault();
  visit(read(link.search));
}

function drawFacts({ model, data, metrics }) {
  const classes = data.classes.filter(({ name }) => isClass(name));
  const kinds = classes.length ? count(classes.length, 'class', 'classes') : 'no classes';
  $('indexed').textContent = `${count(data.images, 'image')} · ${kinds}`;
  const hash = (md5) => element('code', { title: md5 }, md5?.slice(0, 8) ?? '–');
  const figure = (number) => number?.toFixed(3) ?? '–';
  const facts = [
    ['Model', `${model.backbone}, ${model.image_size} px`],
    ['Embedding', `${model.embedding_size} numbers`],
    ...(classes.length > 1 ? [['P@10', figure(metrics.retrieval?.p_at_10)]] : []),
    [`ANN recall@${metrics.ann?.k ?? 'k'}`, figure(metrics.ann?.recall_at_k)],
    ['Model hash', hash(model.md5)],
    ['Data hash', hash(data.md5)],
  ];
  $('facts').replaceChildren(...facts.map(([term, value]) =>
    element('div', {}, element('dt', {}, term), element('dd', {}, value))));
}

/** What all views need to know of what is served, and the controls that depend on it. */
async function start() {
  const [info, { counts }] = await Promise.all([getInfo(), getFindings({ size: 1 })]);
  drawFacts(info);
  setUpFreshness(info);
  setUpSearch(info, counts, visit);
  setUpBrowse(info, counts, visit);
  setUpSelection((key) => visit({ ...settings(), view: 'search', key }), info.limits.images);
  return info;
}

let scrolled = 0;
addEventListener('scroll', () => {
  clearTimeout(scrolled);
  scrolled = setTimeout(keepPlace, 150);
}, { passive: true });
addEventListener('popstate', ({ state }) => {
  clearTimeout(scrolled);
  show(read(location.search), { scroll: state?.scroll ?? 0, shown: state?.shown, focus: true });
});
addEventListener('click', followLink);
$('dismiss').addEventListener('click', calm);
history.scrollRestoration = 'manual';

const ready = start();
const limit = ready.then(({ limits }) => limits.upload_bytes, () => Infinity);
setUpCards();
setUpMap(visit);
setUpUploads(limit, (numbers, joins) => (joins
  ? visit({ ...current, region: '', upload: [...current.upload, ...numbers] })
  : visit({ ...settings(), upload: numbers })));
show(read(location.search), { scroll: history.state?.scroll ?? 0, shown: history.state?.shown });
