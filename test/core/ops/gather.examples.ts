import { type Example, table } from "./define.examples.ts";

export const gatherExamples: readonly Example[] = table()`
  Gather of an embedding | (ids: int64[batch, 3]) table: float32[5, 2] = random(seed 1); y = Gather(table, ids)
    | feeds ids: 0, 2, 2, 4, 0, 2 | no quantize: is an embedding lookup
  Gather with negative indices | (x: float32[batch, 3]) ids: int64[2] = [-1, 0]; y = Gather(x, ids) {axis=1}
  Gather of one by a scalar | (x: float32[batch, 3, 2]) id: int64[] = 1; y = Gather(x, id) {axis=-2}
  Gather by 32-bit indices | (x: float32[4], ids: int32[2, 2]) y = Gather(x, ids)
  Gather along the last axis with repeats | (x: float32[batch, 3]) ids: int64[2, 2] = [0, 0, 2, 0]; y = Gather(x, ids) {axis=1}
  Gather of nothing | (x: float32[3, 2]) ids: int64[0] = []; y = Gather(x, ids)
  Gather of a stored shape | () s: int64[3] = [5, 6, 7]; id: int64[] = -1; y = Gather(s, id)
    | no quantize: is an embedding lookup
  Gather of several of a stored shape | () s: int64[3] = [5, 6, 7]; ids: int64[2] = [2, 0]; y = Gather(s, ids)
    | no quantize: is an embedding lookup
  GatherElements along rows | (x: float32[batch, 3]) i: int64[2, 2] = [0, 2, 1, 1]; y = GatherElements(x, i) {axis=1}
  GatherElements at negative indices | (x: float32[4, 3]) i: int64[2, 3] = [-1, 0, 2, -1, 0, -4]; y = GatherElements(x, i)
  GatherElements from part of the data | (x: float32[3, 4]) i: int64[2, 1] = [3, 0]; y = GatherElements(x, i) {axis=-1}
  GatherND of elements | (x: float32[2, 3]) i: int64[3, 2] = [0, 1, 1, 2, 0, 1]; y = GatherND(x, i)
  GatherND of rows | (x: float32[3, 2, 4]) i: int64[2, 2, 1] = [2, 0, 0, -1]; y = GatherND(x, i)
  GatherND with a batch axis | (x: float32[batch, 3, 2], i: int64[batch, 1]) y = GatherND(x, i) {batch_dims=1}
    | feeds i: 2, 0
`;
