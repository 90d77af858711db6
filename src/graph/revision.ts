/** Counts the changes of all graphs of a model: what was computed at one count holds for as long as it is the same. */
export class Revision {
  count = 0;

  changed(): void {
    this.count++;
  }
}
