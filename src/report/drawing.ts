import type { Rgb } from './terminal.ts';

/** A picture as what it is made of, in pixels from the top left; later ones lie over earlier ones. */
export type Drawing = {
  width: number;
  height: number;
  title: string;
  background: Rgb;
  rects: { x: number; y: number; width: number; height: number; color: Rgb }[];
  texts: DrawnText[];
};

export type DrawnText = {
  x: number;
  /** Of the baseline. */
  y: number;
  text: string;
  anchor: 'start' | 'middle' | 'end';
  color: Rgb;
};

/** The size of all text. */
export const fontSize = 24;
