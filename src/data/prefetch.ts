/**
 * Reading ahead: while a model runs on one batch, the next is read. Files are read, and pictures decoded, in threads of their own, so this
 * costs the memory of one more batch and no time.
 */

/** The same batches in the same order; the next one is asked for before this one is handed out. */
export async function* prefetched<T>(batches: AsyncIterable<T>): AsyncIterable<T> {
  const iterator = batches[Symbol.asyncIterator]();
  const ask = (): Promise<IteratorResult<T>> => {
    const next = iterator.next();
    // A failure belongs to who asks for the batch; until then it is nobody's.
    next.catch(() => {});
    return next;
  };
  let next = ask();
  let ended = false;
  try {
    while (true) {
      const { done, value } = await next;
      if (done === true) {
        ended = true;
        return;
      }
      next = ask();
      yield value;
    }
  } finally {
    if (!ended) {
      await next.catch(() => {});
      await iterator.return?.();
    }
  }
}
