// What a first visitor sees: some of the images, to start from.

import { getImages } from './api.js';
import { card } from './cards.js';
import { $, say } from './dom.js';
import { Grid } from './grid.js';
import { settings } from './settings.js';

const SAMPLES = 12;

let samples = null; // chosen once, so that Back leads to the same ones
const grid = new Grid($('samples'), { draw: (image) => card(image, settings()) });

export async function showWelcome({ data }, options) {
  if (!samples) {
    const pages = await Promise.all(drawSamples(data.classes).map((page) => getImages({ ...page, size: 1 }, options)));
    samples = pages.flatMap((page) => page.images);
  }
  grid.showAll(samples);
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
