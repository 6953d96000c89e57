/* The thread that reads one stretch of a recording: see stretches.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { openTrace } from '../formats/detect.ts';
import { watched } from '../spans/holes.ts';
import { TraceError } from '../trace/error.ts';
import { emptyReading } from '../views/reading.ts';
import { analysisOf } from './joined.ts';
import { readEvents } from './read-events.ts';
import type { StretchAnswer, StretchOrder } from './stretches.ts';

const { source, stretch, questions, foresight, from, progress, number } = workerData as StretchOrder;

/** Undefined where somebody who reads all has to tell what is the matter. */
async function answer(): Promise<StretchAnswer | undefined> {
  const trace = watched(await openTrace(source.path, { ...source.options, threads: 1, stretch }), foresight);
  const analyses = questions.map(analysisOf);
  trace.inMiddle();
  for (const analysis of analyses) analysis.inMiddle?.();
  const reading = emptyReading();
  const looks = () => {
    progress[number] = trace.progress().read;
    return undefined;
  };
  await readEvents(trace, analyses, reading, { from, looks });
  const { divisible, damage } = trace;
  if (divisible === undefined || damage !== undefined) return undefined;
  const parts = analyses.map((analysis) => analysis.part());
  return { parts, holes: trace.part(), trace: divisible.part(), reading: { ...reading, window: { from: 0, to: 0 } } };
}

/** An error that is none of the input's is a bug, and comes out as one. */
void answer().then(
  (answer) => parentPort?.postMessage(answer),
  (error) => {
    if (!(error instanceof TraceError)) throw error;
    parentPort?.postMessage(undefined);
  },
);
