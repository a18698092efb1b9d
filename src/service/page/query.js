// The query: its pictures, of which a part may be chosen, what is known of it, and what it is to be nearer to.

import { fileUrl, getFindings, thumbnailUrl } from './api.js';
import { picture, thumbnail, titleOfFinding } from './cards.js';
import { write } from './address.js';
import { copyPaths } from './download.js';
import { $, breakable, button, element } from './dom.js';
import { regionChooser } from './region.js';
import { explain, reviewAll } from './findings.js';
import { uploads } from './uploads.js';

/** The images that are asked for: [{ name, source, key, or upload and file }]. */
export function imagesOf({ key, upload }) {
  return [
    ...upload.map((number) => uploads.get(number)),
    ...key.map((each) => ({ key: each, name: each, source: thumbnailUrl({ key: each }, 512) })),
  ];
}

let drawn = '';       // the images that are shown
let showRegion = null; // shows another region of the image, if it is one

/**
 * Draw the query of a state; `change` is called with what a person changes of the state. Where only the region is another,
 * the picture stays, and with it the focus of those who move the region by keys.
 */
export function drawQuery(state, change) {
  const { key, upload, like, unlike, region } = state;
  const images = imagesOf(state);
  const id = JSON.stringify([key, upload, like, unlike]);
  if (id !== drawn) drawImages(images, state, change);
  drawn = id;
  showRegion?.(region);
}

function drawImages(images, state, change) {
  showRegion = null;
  const parts = images.length === 1 ? drawOne(images[0], change) : [drawSeveral(images, state, change)];
  $('query').replaceChildren(...parts, ...drawFeedback(state, change));
  $('query').className = images.length === 1 ? 'one' : 'several';
}

function drawOne({ key, name, source }, change) {
  const image = picture(source, { className: 'picture whole', alt: `Query: ${name}` }, 'No preview of this format');
  const { stage, tools, show } = regionChooser(image, (region) => change({ region }, { replace: true }));
  showRegion = show;
  const copying = key ? [button('Copy path', () => copyPaths([key]))] : [];
  const original = key && element('a', { href: fileUrl(key), target: '_blank', rel: 'noopener' }, 'Original');
  return [stage, element('figcaption', {},
    element('b', {}, ...breakable(name)),
    element('span', { className: 'facts' }), original || null,
    element('div', { className: 'actions' }, ...tools, ...copying),
    element('ul', { className: 'found-of-it', role: 'list', 'aria-label': 'Findings about it', hidden: true }))];
}

function drawSeveral(images, state, change) {
  const without = ({ key, upload }) => change({
    key: state.key.filter((each) => each !== key), upload: state.upload.filter((each) => each !== upload),
  });
  return element('div', {}, element('b', {}, images.length ? `What ${images.length} images share` : 'Query'),
    element('ul', { className: 'few', 'aria-label': 'Images of the query' }, ...images.map((image) => small(image, () => without(image)))));
}

function small({ key, name, source }, remove) {
  const shown = key ? thumbnail({ key }, { alt: name, title: name }) : picture(source, { alt: name, title: name }, name);
  return element('li', {}, shown, button('✕', remove, { className: 'remove', title: 'Remove', 'aria-label': `Remove ${name}` }));
}

function drawFeedback(state, change) {
  return [['like', 'More like'], ['unlike', 'Less like']].filter(([name]) => state[name].length).map(([name, title]) =>
    element('div', { className: 'wanted' }, element('b', {}, title),
      element('ul', { className: 'few', 'aria-label': title }, ...state[name].map((key) =>
        small({ key, name: key }, () => change({ [name]: state[name].filter((each) => each !== key) }))))));
}

/** Say what the server knows of a query that is one image. */
export async function describeQuery({ key, label, split, width, height, findings = [] }, options) {
  const facts = $('query').querySelector('.facts');
  const list = $('query').querySelector('.found-of-it');
  if (!facts) return;
  facts.textContent = [label, split, `${width} × ${height}`].filter(Boolean).join(' · ');
  list.hidden = !key || !findings.length;
  if (list.hidden) return;
  const { findings: found } = await getFindings({ key, size: 20 }, options);
  list.replaceChildren(...found.map((finding, i) => element('li', {}, element('b', {}, titleOfFinding(finding.kind)), ': ',
    finding.other ? linkTo(finding.key === key ? finding.other : finding.key) : explain(finding), ' ',
    button('Review', () => reviewAll(found, i)))));
}

const linkTo = (key) => element('a', { href: write({ key: [key] }) }, ...breakable(key));
