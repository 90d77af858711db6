/**
 * PyTorch's `OneCycleLR` with its defaults: the rate rises along half a cosine over 0.3 of the training from 1/25, and falls along another to 1/10,000 of
 * that (Smith and Topin 2018).
 */
export function oneCycle(step: number, total: number): number {
  const [rise, first, lastDivisor] = [0.3, 1 / 25, 1e4];
  const between = (from: number, to: number, share: number): number =>
    to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
  const peak = rise * total - 1;
  const last = total - 1;
  if (step <= peak) return between(first, 1, step / peak);
  return between(1, first / lastDivisor, last === peak ? 1 : (step - peak) / (last - peak));
}
