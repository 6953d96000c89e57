import type { RequestPicture } from '../views/request-picture.ts';
import { cellsWithin } from './cells-room.ts';
import { deviceName, queueName } from './names.ts';
import type { RequestsSection } from './page-data.ts';
import type { RequestsAnswer } from './requests-columns.ts';

/** The picture of requests that a page shows, and its packed and deflated cells, in at most `room` bytes. */
export function requestsDrawn(
  answer: RequestsAnswer,
  picture: RequestPicture,
  room: number,
): { shown: Pick<RequestsSection, 'picture'>; cells: Uint8Array } {
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
    shown: {
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
