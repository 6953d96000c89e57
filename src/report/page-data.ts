import type {
  EventsJson,
  ExitsJson,
  LeaksJson,
  LocksJson,
  RequestsJson,
  SlowExitJson,
  Unit,
  VcpusJson,
} from './answers.ts';

/** Everything that a page shows: the very objects that the commands print with --json, and pictures of the same spans. */
export type PageData = {
  title: string;
  /** `virtap 1.2.3`. */
  madeBy: string;
  /** The words that name these files to any command, with the options that say how they are read together. */
  words: string[];
  recording: EventsJson;
  verdicts: Verdict[];
  sections: Section[];
  /** Where a server answers for this page, so that a selection is asked of the trace itself: which state of it this is, and the cells of the pictures. */
  live?: { generation: string; cells: Record<string, string> };
};

/** What there is to say first, in a plain sentence. */
export type Verdict = {
  level: 'bad' | 'warn' | 'note' | 'good';
  text: string;
  /** The id of the part of the page that shows it. */
  evidence: string;
};

/** One analysis. Its `kind` is the command's name, `answer` what that command prints. */
export type Answered =
  | { kind: 'exits'; answer: ExitsJson }
  | { kind: 'leaks'; answer: LeaksJson }
  | { kind: 'requests'; answer: RequestsJson }
  | { kind: 'vcpus'; answer: VcpusJson }
  | { kind: 'locks'; answer: LocksJson; summary: string };

/** The same as a page shows it, with its picture. */
export type Section = ExitsSection | RequestsSection | Exclude<Answered, { kind: 'exits' | 'requests' }>;

export type ExitsSection = Extract<Answered, { kind: 'exits' }> & {
  picture: PictureFrame;
  /** The slowest exit of each reason, octave and stretch of time: what a click on the picture can tell in full. */
  logs: SlowExitJson[];
};

export type RequestsSection = Extract<Answered, { kind: 'requests' }> & { picture: PictureFrame };

/** A picture of spans over time and latency that can be filtered. Its cells are apart, packed: see cells-pack.ts. */
export type PictureFrame = {
  /** What one span is, and several: `exit`, `exits`. */
  noun: [one: string, many: string];
  unit: Unit;
  /** Time of the first bin from the trace's origin, and width and number of the time bins. */
  from: number;
  step: number;
  bins: number;
  /** What spans can be filtered by, with the values there are. */
  dimensions: { title: string; values: string[] }[];
  /** For each series of the cells, its value in each dimension. */
  series: number[][];
  /** Values of the first dimension that are shown apart, and what these and the others are called. */
  apart: { values: number[]; title: string; others: string } | undefined;
};
