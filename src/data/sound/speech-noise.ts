import { random } from "#ir";

const [syllables, seconds] = [4, 5];

/** Returns noise with about the long-term spectrum of speech (flat to 500 Hz, then −12 dB per octave; Byrne et al. 1994) and its syllables. */
export function speechNoise(rate: number, seed: number): Float32Array {
  const { normal } = random(seed, "speech noise");
  const memory = Math.exp((-2 * Math.PI * 500) / rate);
  let [first, second] = [0, 0];
  return Float32Array.from({ length: seconds * rate }, (_, index) => {
    first = memory * first + (1 - memory) * normal();
    second = memory * second + (1 - memory) * first;
    return second * Math.abs(Math.sin((Math.PI * syllables * index) / rate));
  });
}
