/** Pairs the items of two generators; ends with the shorter one. */
export async function* zipAsync<A, B>(
  first: AsyncGenerator<A>,
  second: AsyncGenerator<B>,
): AsyncGenerator<readonly [A, B]> {
  try {
    for await (const item of first) {
      const other = await second.next();
      if (other.done === true) return;
      yield [item, other.value];
    }
  } finally {
    await second.return(undefined);
  }
}
