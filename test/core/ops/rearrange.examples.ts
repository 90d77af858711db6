import { type Example, table } from "./define.examples.ts";

const blocks = (attributes: string): string => `(x: float32[batch, 8, 2, 3]) y = DepthToSpace(x) {${attributes}}`;

export const rearrangeExamples: readonly Example[] = table()`
  Tile along two axes | (x: float32[batch, 3]) r: int64[2] = [2, 3]; y = Tile(x, r)
  Tile once | (x: float32[batch, 3]) r: int64[2] = [1, 1]; y = Tile(x, r)
  Tile to nothing | opset 7 (x: float32[batch, 3]) r: int64[2] = [1, 0]; y = Tile(x, r)
  Tile of a stored shape | () s: int64[2] = [3, 4]; r: int64[1] = [3]; y = Tile(s, r)
  Tile as often as there are samples | (x: float32[batch, 3]) s: int64[1] = [4]; r = Shape(x) {end=1}; y = Tile(s, r)
    | except channels: its repeats are a dimension of another value, and change with it
  Tile by repeats computed at run time |
    (x: float32[2, 3], r: int64[2]) y = Tile(x, r) | feeds r: 1, 2 | no axes: computed at run time
    | no gradient: computed at run time | except types: the repeats are not known before the run
  DepthToSpace | ${blocks("blocksize=2")}
  DepthToSpace with parts inside of channels | ${blocks('blocksize=2, mode="CRD"')}
  DepthToSpace of opset 7 | opset 7 ${blocks("blocksize=2")}
  DepthToSpace in blocks of one | ${blocks("blocksize=1")}
  DepthToSpace of named sizes | (x: float32[1, 4, h, w]) y = DepthToSpace(x) {blocksize=2} | sizes h: 2 | sizes w: 3
  SpaceToDepth | (x: float32[batch, 2, 4, 6]) y = SpaceToDepth(x) {blocksize=2}
  SpaceToDepth of opset 7 | opset 7 (x: float32[batch, 3, 3, 3]) y = SpaceToDepth(x) {blocksize=3}
  SpaceToDepth of named sizes | (x: float32[1, 1, h, w]) y = SpaceToDepth(x) {blocksize=2} | sizes h: 2 | sizes w: 4
  ReverseSequence | (x: float32[4, batch, 2]) n: int64[2] = [3, 4]; y = ReverseSequence(x, n)
  ReverseSequence with the batch in front |
    (x: float32[batch, 3], n: int64[batch]) y = ReverseSequence(x, n) {batch_axis=0, time_axis=1} | feeds n: 2, 3
  ReverseSequence of opset 10 | opset 10 (x: float32[2, 2]) n: int64[2] = [1, 2]; y = ReverseSequence(x, n)
  Trilu above the diagonal | (x: float32[batch, 3, 3]) y = Trilu(x)
  Trilu below a diagonal | (x: float32[batch, 3, 4]) k: int64[] = -1; y = Trilu(x, k) {upper=0}
  Trilu above another diagonal, of integers | (x: int64[3, 2]) k: int64[] = 1; y = Trilu(x, k)
`;
