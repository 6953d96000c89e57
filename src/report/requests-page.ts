import type { RequestPicture } from '../views/request-picture.ts';
import { cellsWithin } from './cells-room.ts';
import { deviceName, queueName } from './names.ts';
import type { RequestsSection } from './page-data.ts';
import type { RequestsAnswer } from './requests-columns.ts';
import { requestsJson } from './requests-json.ts';

/** The section on requests, and the packed and deflated cells of its picture, in at most `room` bytes. */
export function requestsSection(
  answer: RequestsAnswer,
  picture: RequestPicture,
  room: number,
): { section: RequestsSection; cells: Uint8Array } {
  const cells = cellsWithin(
    room,
    () => picture.cells.result(),
    () => picture.cells.coarsen(),
  );
  const { from, step, bins } = picture.cells.result();
  const several = new Set(answer.result.queues.map(({ name }) => name.pid)).size > 1;
  const queues: string[] = [];
  const operations: string[] = [];
  const place = (names: string[], name: string) => {
    const known = names.indexOf(name);
    return known < 0 ? names.push(name) - 1 : known;
  };
  const series = picture
    .series()
    .map(({ queue, operation }) => [
      place(queues, `${deviceName(queue, several)} queue ${queueName(queue)}`),
      place(operations, operation === '' ? 'not told' : operation),
    ]);
  return {
    section: {
      kind: 'requests',
      answer: requestsJson(answer),
      picture: {
        noun: ['request', 'requests'],
        unit: answer.trace.clock.unit === 'ns' ? 'ns' : 'cycles',
        from,
        step,
        bins,
        dimensions: [
          { title: 'queue', values: queues },
          { title: 'operation', values: operations },
        ],
        series,
        apart: undefined,
      },
    },
    cells,
  };
}
