/** Iterates two generators in parallel; ends with the first that ends. */
export async function* together<A, B>(
  first: AsyncGenerator<A>,
  second: AsyncGenerator<B>,
): AsyncGenerator<readonly [A, B]> {
  try {
    for await (const one of first) {
      const other = await second.next();
      if (other.done === true) return;
      yield [one, other.value];
    }
  } finally {
    await second.return(undefined);
  }
}
