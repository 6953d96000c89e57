/** Gives small consecutive ids to texts, of which there are few: names that virtap itself knows. '' is 0. */
export class Words {
  readonly #ids = new Map<string, number>([['', 0]]);
  readonly #texts = [''];

  id(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#texts.push(text) - 1;
      this.#ids.set(text, id);
    }
    return id;
  }

  text(id: number): string {
    return this.#texts[id] ?? '';
  }
}
