/**
 * Lets one implementation of a matrix algorithm run synchronously, or asynchronously with a `Multiply`. The algorithm is a generator that yields the
 * factors of each large product and receives the product.
 */
import { type Matrix, type Multiply, multiply as multiplyHere } from "./matrix.ts";

/** A matrix algorithm that yields pairs of factors, receives their products, and returns T. */
export type Steps<T> = Generator<readonly [Matrix, Matrix], T, Matrix>;

/** Requests a product from the caller of a generator: `yield* product(a, b)`. */
export function* product(a: Matrix, b: Matrix): Steps<Matrix> {
  return yield [a, b];
}

export function runWith<T>(steps: Steps<T>, multiply: Multiply): Promise<T>;
export function runWith<T>(steps: Steps<T>, multiply: Multiply | undefined): T | Promise<T>;
export function runWith<T>(steps: Steps<T>, multiply: Multiply | undefined): T | Promise<T> {
  return multiply === undefined ? runHere(steps) : runAsync(steps, multiply);
}

function runHere<T>(steps: Steps<T>): T {
  let next = steps.next();
  while (!next.done) next = steps.next(multiplyHere(...next.value));
  return next.value;
}

async function runAsync<T>(steps: Steps<T>, multiply: Multiply): Promise<T> {
  let next = steps.next();
  while (!next.done) next = steps.next(await multiply(...next.value));
  return next.value;
}
