// What a first visitor sees: some of the images, to start from.

import { getImages } from './api.js';
import { begin, card, finish } from './cards.js';
import { $, say } from './dom.js';
import { settings } from './settings.js';

const SAMPLES = 8;

let samples = null; // chosen once, so that Back leads to the same ones

export async function showWelcome({ data }, options) {
  if (!samples) {
    say('');
    begin($('samples'), Math.min(SAMPLES, data.images));
    const pages = await Promise.all(drawSamples(data.classes).map((page) => getImages({ ...page, size: 1 }, options)));
    samples = pages.flatMap((page) => page.images);
  }
  finish($('samples'), samples.map((image) => card(image, settings())));
  say('');
}

/** Draw images of as many folders as there are, several of each if there are few: folder and place within it, from 1. */
function drawSamples(folders) {
  const filled = folders.filter(({ images }) => images).sort(() => Math.random() - 0.5);
  const first = Math.floor(Math.random() * 1e6);
  return Array.from({ length: SAMPLES }, (_, i) => {
    const { name, images } = filled[i % filled.length];
    return { label: name, page: 1 + (first + i) % images };
  });
}
