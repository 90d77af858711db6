/** Writes batches to disk without end, and says after the first that it has begun; for a test that takes its disk away, or its life. */

import { PithError } from "../../src/core/errors.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { openStorage } from "../../src/data/batches/batch-store.ts";

const storage = openStorage({ memory: 0 });
const store = storage.store("values");
try {
  while (store.count < 10_000) {
    await store.add({ x: float32([10, 1000], new Float32Array(10_000)) });
    if (store.count === 10) console.log("begun");
  }
} catch (error) {
  if (error instanceof PithError) console.log(`${error.code}: ${error.message} ${error.hint}`);
  else throw error;
} finally {
  await storage.release();
}
