import type { Queue } from '../spans/devices.ts';
import { operations, type RequestPath } from '../spans/request-path.ts';
import type { Window } from '../trace/analysis.ts';
import { IdTable } from '../trace/id-table.ts';
import { HeatMap } from './heatmap.ts';
import { type QueueName, queueNameOf } from './queue-name.ts';
import { maxSeries, SpanCells } from './span-cells.ts';

/** Requests by queue and operation over time and latency, in bounded memory: what a page needs to draw them. */
export class RequestPicture {
  readonly cells = new SpanCells();
  /** All of them in one. */
  readonly heat = new HeatMap();
  readonly #series = new IdTable();
  readonly #queues: (Queue | undefined)[] = [];

  /** Which stretch of the recording it is of; a whole one where nobody tells. */
  within({ from }: Window): void {
    this.cells.start(from);
    this.heat.start(from);
  }

  /** Takes the requests that were filled within the batch that the path took last. */
  take({ spans, facets }: RequestPath): void {
    if (spans.count === 0) return;
    this.cells.start(0);
    this.heat.start(0);
    for (let k = 0; k < spans.count; k++) {
      const { queue, operation } = facets[spans.facet[k] as number] as RequestPath['facets'][number];
      let series = this.#series.find(queue.index, operation);
      if (series < 0) {
        if (this.#series.size === maxSeries) series = maxSeries - 1;
        else {
          series = this.#series.id(queue.index, operation);
          this.#queues.push(queue);
        }
      }
      const begin = spans.begin[k] as number;
      const duration = spans.duration[k] as number;
      this.cells.add(series, begin, duration);
      this.heat.add(begin, duration);
    }
  }

  /** What the cells' series are. */
  series(): { queue: QueueName; operation: string }[] {
    return this.#queues.map((queue, id) => ({
      queue: queueNameOf(queue as Queue),
      operation: operations[this.#series.low(id)] as string,
    }));
  }
}
