/** The nodes of one graph, in order: a linked list that may be edited while it is walked. */

interface Linked<N> {
  previous: N | undefined;
  next: N | undefined;
  removed: boolean;
}

/**
 * Edits during a walk:
 * - a node inserted after the current one is visited, one inserted before it is not;
 * - removing the current node, or any other, is safe: removed nodes are not visited again;
 * - what is put in the place of the current node after it was removed is not visited: a rewrite does not meet its own result.
 *
 * A removed node keeps its neighbours, which lead the walk back to those that are still there.
 */
export class NodeList<N extends Linked<N>> {
  #first: N | undefined;
  #last: N | undefined;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get last(): N | undefined {
    return this.#last;
  }

  *forwards(): Generator<N, void, undefined> {
    for (let node = this.#first; node !== undefined; node = node.next) if (!node.removed) yield node;
  }

  /** The same rules for edits hold, mirrored. */
  *backwards(): Generator<N, void, undefined> {
    for (let node = this.#last; node !== undefined; node = node.previous) if (!node.removed) yield node;
  }

  insert(node: N, after: N | undefined): void {
    node.previous = after;
    node.next = after === undefined ? this.#first : after.next;
    if (node.next === undefined) this.#last = node;
    else node.next.previous = node;
    if (after === undefined) this.#first = node;
    else after.next = node;
    this.#count++;
  }

  remove(node: N): void {
    if (node.previous === undefined) this.#first = node.next;
    else node.previous.next = node.next;
    if (node.next === undefined) this.#last = node.previous;
    else node.next.previous = node.previous;
    node.removed = true;
    this.#count--;
  }

  reorder(nodes: readonly N[]): void {
    this.#first = this.#last = undefined;
    this.#count = 0;
    for (const node of nodes) this.insert(node, this.#last);
  }
}
