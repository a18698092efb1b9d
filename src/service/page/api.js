// The server's answers. Every failure is an Error whose message can be shown as it is.

import { encodePath } from './address.js';
import { $ } from './dom.js';

/** A failure that may be over when one tries again. */
export class TransientError extends Error {}

export const fileUrl = (key) => `api/images/${encodePath(key)}`;

/** A small picture of an image; one with its hash is kept by the browser for good. */
export const thumbnailUrl = ({ key, hash }, size = 256) => `${fileUrl(key)}?thumbnail=${size}${hash ? `&hash=${hash}` : ''}`;

export const getInfo = (options) => ask('api/info', options);
export const getMap = (options) => respond('api/map', options).then((response) => response.arrayBuffer());
export const getImages = (fields, options) => ask(`api/images?${query(fields)}`, options);
export const getChanges = (size, options) => ask(`api/changes?${query({ size })}`, options);
export const reload = () => ask('api/reload', { method: 'POST' });
export const getFindings = (fields, options) => ask(`api/findings?${query(fields)}`, options);

/** Why the picture of an image is not given; nothing if it is. */
export const whyMissing = (entry) => respond(thumbnailUrl(entry, 16)).then(() => '', ({ message }) => message);

/**
 * What is similar to the images of a query: indexed ones by `key`, and `files`; nearer to those of `like`, farther from
 * those of `unlike`. `fields` are what else to ask for.
 */
export async function search({ key, files, like, unlike, region }, fields, options) {
  if (key.length === 1 && !files.length && !like.length && !unlike.length && !region && !fields.run) {
    const { any, ...plain } = fields;
    return ask(`api/similar?${query({ key: key[0], ...plain })}`, options);
  }
  await Promise.all(files.map(checkReadable));
  const body = formOf({ key, like, unlike, region, ...fields });
  for (const file of files) body.append('image', file, file.name);
  return ask('api/search', { method: 'POST', body, ...options });
}

/** The images of a class that are most similar to an indexed one. */
export const nearestOf = (key, label, k) => ask(`api/similar?${query({ key, label, k })}`).then(({ answer }) => answer.neighbors);

/** Where the likeness of a query (a key, or a file as `image`, or a `region` of it) and a hit comes from: a grid for each. */
export const explain = (query, hit) => ask('api/why', { method: 'POST', body: formOf({ ...query, hit }) });

/** Keep what a person has decided about an image: that its label is `right`, to `relabel` it, or to `leave_out` it. */
export const decide = (correction) => ask('api/corrections', { method: 'POST', body: formOf(correction) });

/** The files of images, as one zip. */
export async function getZip(keys) {
  const response = await respond('api/download', { method: 'POST', body: formOf({ key: keys }) });
  return response.blob();
}

const checkReadable = (file) => file.slice(0, 1).arrayBuffer().catch(() => {
  throw new Error(`“${file.name}” cannot be read. Is it a folder, or was it moved?`);
});

const pairs = (fields) =>
  Object.entries(fields).flatMap(([name, value]) => [value].flat().filter((each) => each !== '' && each !== undefined).map((each) => [name, each]));

const query = (fields) => new URLSearchParams(pairs(fields));

function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of pairs(fields)) form.append(name, value);
  return form;
}

const ask = (url, options) => respond(url, options).then((response) => response.json());

async function respond(url, options) {
  const response = await reach(url, options);
  if (response.status === 401) {
    await signIn();
    return respond(url, options);
  }
  options?.signal?.throwIfAborted();
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  if (response.status === 503) throw new TransientError('The server is busy.');
  throw new Error(typeof detail === 'string' ? detail : `The server answered with status ${response.status}.`);
}

let signingIn = null; // what all that are refused wait for

/** Have the person give the token until it is right; the server then knows this browser by a cookie. */
const signIn = () => (signingIn ??= askForToken().finally(() => (signingIn = null)));

async function askForToken() {
  const dialog = $('sign-in');
  for (let isKnown = false; !isKnown; $('token-wrong').hidden = isKnown) {
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
    const token = $('token').value.replace(/[^\x21-\x7e]/g, ''); // nothing else can be sent, nor be in a token
    const session = await reach('api/session', { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
    isKnown = session.status !== 401;
  }
}

const reach = (url, options) => fetch(url, options).catch((error) => {
  throw error.name === 'AbortError' ? error : new TransientError('The server cannot be reached.');
});
