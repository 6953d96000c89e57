// Which virtqueue elements were popped and never filled: what QEMU users write as an Analyzer of simpletrace.py.
import { analyzer } from 'virtap/script';

export default analyzer(({ print }) => {
  const open = new Map<string, string>();
  return {
    virtqueue_pop({ vq, elem }, { stamp }) {
      open.set(`${vq} ${elem}`, stamp);
    },
    virtqueue_fill({ vq, elem }) {
      open.delete(`${vq} ${elem}`);
    },
    end() {
      for (const [key, since] of open) print(key, 'since', since);
    },
  };
});
