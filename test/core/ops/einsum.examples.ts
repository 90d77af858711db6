import { type Example, table } from "./define.examples.ts";

const twoOperands = table(
  {},
  (a, b, equation) => `(a: float32[${a}], b: float32[${b}]) y = Einsum(a, b) {equation="${equation}"}`,
);

const oneOperand = table({}, (a, equation) => `(a: float32[${a}]) y = Einsum(a) {equation="${equation}"}`);

const unmultiplied = "of one operand nothing is multiplied, but its elements are added up";

export const einsumExamples: readonly Example[] = [
  ...twoOperands`
    Einsum of matrices | batch, 3 | 3, 4 | ij,jk->ik
    Einsum of stacks of matrices | batch, 2, 3 | batch, 3, 4 | bij, bjk -> bik
    Einsum of attention | opset 12 | batch, 3, 2, 4 | batch, 5, 2, 4 | bqhd,bkhd->bhqk
    Einsum with rows of several axes | batch, 2, 3, 4 | batch, 4, 5 | bhqd,bdk->bkhq
    Einsum with the matrix on the left | 4, 3 | batch, 3, 2 | oi,bij->boj
    Einsum of vectors, outer | 3 | 2 | i,j->ij
    Einsum of vectors, inner | 3 | 3 | i,i->
    Einsum without its output | 3, 2 | 2, 4 | ij,jk
    Einsum with axes in front | batch, 2, 3 | 3, 4 | ...ij,jk->...ik
    Einsum with several axes in front | batch, 2, 3 | batch, 2, 3 | ...i,...i->...
    Einsum that broadcasts what it sums over |
      2, 1 | 3, 4 | ij,jk->ik | no lower: not known to be equal | no gradient: broadcasts an axis
      | except cost: what is counted on ones is the sum of all products
    Einsum that sums an axis of one operand | batch, 3 | 4 | ij,k->ik
  `,
  ...oneOperand`
    Einsum of nothing to do |
      batch, 3 | ij->ij | except cost: ${unmultiplied}
    Einsum that transposes |
      batch, 3 | ij->ji | except cost: ${unmultiplied}
    Einsum that sums rows | batch, 3 | ij->i | except cost: ${unmultiplied}
    Einsum of a diagonal | 3, 3 | ii->i | except cost: ${unmultiplied}
    Einsum of a trace | batch, 3, 3 | bii->b | except cost: ${unmultiplied}
  `,
  ...table()`
    Einsum of three | (a: float32[batch, 2], b: float32[2, 3], c: float32[3, 4]) y = Einsum(a, b, c) {equation="ij,jk,kl->il"}
      | except cost: is counted two by two, and what is counted on ones is the sum of all products
    Einsum with a stored matrix |
      (x: float32[batch, 5, 3]) w: float32[4, 3] = random(seed 1); y = Einsum(x, w) {equation="bsi,oi->bso"}
    Einsum with a stored matrix in front, transposed |
      (x: float32[batch, 5, 3]) w: float32[3, 4] = random(seed 1); y = Einsum(w, x) {equation="df,bsd->bfs"}
    Einsum with a stored projection to heads |
      (x: float32[batch, 5, 3]) w: float32[3, 2, 4] = random(seed 1); y = Einsum(x, w) {equation="bsd,dhk->bshk"}
    Einsum with a stored projection from heads |
      (x: float32[batch, 5, 2, 4]) w: float32[2, 4, 3] = random(seed 1); y = Einsum(x, w) {equation="bshk,hkd->bsd"}
    Einsum with stored matrices of experts |
      (x: float32[2, 5, 3]) w: float32[2, 3, 4] = random(seed 1); y = Einsum(x, w) {equation="ecd,edf->ecf"}
  `,
];
