/** Sums of products, said by names of axes; and determinants. */
import { type Example, example, table } from "./define.examples.ts";

const two = (
  title: string,
  a: string,
  b: string,
  equation: string,
  more: Parameters<typeof example>[2] = {},
): Example =>
  example(`Einsum ${title}`, `(a: float32[${a}], b: float32[${b}]) y = Einsum(a, b) {equation="${equation}"}`, more);

const one = (title: string, a: string, equation: string, more: Parameters<typeof example>[2] = {}): Example =>
  example(`Einsum ${title}`, `(a: float32[${a}]) y = Einsum(a) {equation="${equation}"}`, more);

const unmultiplied = { except: { cost: "of one operand nothing is multiplied, but its elements are added up" } };

export const einsumExamples: readonly Example[] = [
  two("of matrices", "batch, 3", "3, 4", "ij,jk->ik"),
  two("of stacks of matrices", "batch, 2, 3", "batch, 3, 4", "bij, bjk -> bik"),
  two("of attention", "batch, 3, 2, 4", "batch, 5, 2, 4", "bqhd,bkhd->bhqk", { opset: 12 }),
  two("with rows of several axes", "batch, 2, 3, 4", "batch, 4, 5", "bhqd,bdk->bkhq"),
  two("with the matrix on the left", "4, 3", "batch, 3, 2", "oi,bij->boj"),
  two("of vectors, outer", "3", "2", "i,j->ij"),
  two("of vectors, inner", "3", "3", "i,i->"),
  two("without its output", "3, 2", "2, 4", "ij,jk"),
  two("with axes in front", "batch, 2, 3", "3, 4", "...ij,jk->...ik"),
  two("with several axes in front", "batch, 2, 3", "batch, 2, 3", "...i,...i->..."),
  two("that broadcasts what it sums over", "2, 1", "3, 4", "ij,jk->ik", {
    misses: { lower: "not known to be equal", gradient: "broadcasts an axis" },
    except: { cost: "what is counted on ones is the sum of all products" },
  }),
  two("that sums an axis of one operand", "batch, 3", "4", "ij,k->ik"),
  one("of nothing to do", "batch, 3", "ij->ij", unmultiplied),
  one("that transposes", "batch, 3", "ij->ji", unmultiplied),
  one("that sums rows", "batch, 3", "ij->i", unmultiplied),
  one("of a diagonal", "3, 3", "ii->i", unmultiplied),
  one("of a trace", "batch, 3, 3", "bii->b", unmultiplied),
  ...table({ except: { cost: "is counted two by two, and what is counted on ones is the sum of all products" } })`
    Einsum of three | (a: float32[batch, 2], b: float32[2, 3], c: float32[3, 4]) y = Einsum(a, b, c) {equation="ij,jk,kl->il"}
  `,
  example(
    "Einsum with a stored matrix",
    '(x: float32[batch, 5, 3]) w: float32[4, 3] = random(seed 1); y = Einsum(x, w) {equation="bsi,oi->bso"}',
  ),

  example("Det of matrices", "(x: float32[batch, 3, 3]) y = Det(x)"),
  example("Det of one matrix", "(x: float32[2, 2]) y = Det(x)", { opset: 11 }),
  example("Det of numbers", "(x: float32[batch, 2, 1, 1]) y = Det(x)"),
];
