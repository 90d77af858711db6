import { type Example, table } from "../define.examples.ts";

const sequence = "(x: float32[batch, 3, 4], skip: float32[batch, 3, 4])";
const vectors =
  "scale: float32[4] = random(seed 1, from 0.5 to 1.5); shift: float32[4] = random(seed 2); bias: float32[4] = random(seed 3);";
const tables =
  "words: float32[6, 4] = random(seed 1); places: float32[5, 4] = random(seed 2); kinds: float32[2, 4] = random(seed 3); scale: float32[4] = ones; shift: float32[4] = random(seed 4);";
const ids = {
  feeds: { ids: { from: 0, to: 6 }, mask: { from: 0, to: 2 }, kind: { from: 0, to: 2 }, at: { from: 0, to: 5 } },
};

export const microsoftNormExamples: readonly Example[] = [
  ...table()`
    SimplifiedLayerNormalization of a sequence |
      (x: float32[batch, 3, 4]) scale: float32[4] = random(seed 1); y = SimplifiedLayerNormalization(x, scale)
    SimplifiedLayerNormalization over two axes, with its deviation |
      (x: float32[batch, 3, 4]) scale: float32[3, 4] = random(seed 1); y, inverse = SimplifiedLayerNormalization(x, scale)
      {axis=1, epsilon=0.01}
    SimplifiedLayerNormalization in half precision |
      (x: float16[batch, 4]) scale: float16[4] = ones; y = SimplifiedLayerNormalization(x, scale) {axis=-1, stash_type=1}
      | except gradient: differences of numbers of 16 bits are too rough
    SkipLayerNormalization of a sequence | ${sequence} ${vectors} y = com.microsoft.SkipLayerNormalization(x, skip, scale, shift)
    SkipLayerNormalization with a bias, and its sum |
      ${sequence} ${vectors} y, _, _, sum = com.microsoft.SkipLayerNormalization(x, skip, scale, shift, bias) {epsilon=0.01}
    SkipLayerNormalization with one skip for all samples |
      (x: float32[batch, 3, 4], skip: float32[3, 4]) ${vectors} y = com.microsoft.SkipLayerNormalization(x, skip, scale)
    SkipLayerNormalization of tokens |
      (x: float32[5, 4], skip: float32[5, 4]) ${vectors} y = com.microsoft.SkipLayerNormalization(x, skip, scale, shift)
    SkipSimplifiedLayerNormalization of a sequence |
      ${sequence} ${vectors} y = com.microsoft.SkipSimplifiedLayerNormalization(x, skip, scale)
    SkipSimplifiedLayerNormalization with a bias, and its sum |
      ${sequence} ${vectors} y, _, _, sum = com.microsoft.SkipSimplifiedLayerNormalization(x, skip, scale, bias) {epsilon=0.01}
    SkipSimplifiedLayerNormalization of tokens |
      (x: float32[5, 4], skip: float32[5, 4]) ${vectors} y = com.microsoft.SkipSimplifiedLayerNormalization(x, skip, scale)
    EmbedLayerNormalization with positions, and its sum |
      (ids: int32[batch, seq], at: int32[batch, seq])
      ${tables} y, count, sum = com.microsoft.EmbedLayerNormalization(ids, _, words, places, _, scale, shift, _, at)
      | feeds ids: from 0 to 6 | feeds mask: from 0 to 2 | feeds kind: from 0 to 2 | feeds at: from 0 to 5 | sizes seq: 3
  `,
  ...table(ids)`
    EmbedLayerNormalization with segments and a mask |
      (ids: int32[batch, 5], kind: int32[batch, 5], mask: int32[batch, 5])
      ${tables} y, count = com.microsoft.EmbedLayerNormalization(ids, kind, words, places, kinds, scale, shift, mask)
    EmbedLayerNormalization of a short sequence, without segments |
      (ids: int32[batch, 3]) ${tables} y, count = com.microsoft.EmbedLayerNormalization(ids, _, words, places, _, scale, shift)
      {epsilon=0.01}
  `,
];
