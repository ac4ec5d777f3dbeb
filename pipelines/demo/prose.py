"""The articles' own words: titles, lead-ins to a picture, and sentences of an article that name no picture.

None of these sentences names a shape, a thing or a colour of the pictures, so that only the text about a picture
depends on it.
"""

from __future__ import annotations

import random
from types import MappingProxyType

SLOTS = MappingProxyType({
    "person": (
        "Marta Lindqvist", "Owen Adeyemi", "Priya Raman", "Tomas Becker", "Helen Okafor", "Jun Watanabe",
        "Clara Fontaine", "Samuel Ortega", "Ingrid Solberg", "Nadia Haddad", "Peter Kowalski", "Lucy Marsh",
    ),
    "town": (
        "Harrowgate", "Linden Bay", "Westmere", "Port Allard", "Old Fenwick", "Kirkvale", "Saint Oran",
        "Marlow Hill", "Eastbrook", "Dunmore", "Upper Calder", "Norwick",
    ),
    "venue": (
        "the town library", "the evening school", "a small gallery by the harbour", "the museum of paper",
        "the village hall", "a workshop above the bakery", "the old post office", "the summer academy",
    ),
    "month": (
        "January", "February", "March", "April", "May", "June", "July", "September", "October", "November",
    ),
    "year": ("2009", "2011", "2013", "2014", "2016", "2017", "2018", "2019", "2021", "2022"),
    "number": ("five", "six", "seven", "eight", "nine", "eleven", "twelve", "fifteen", "thirty", "forty"),
    "people": (
        "pupils", "teachers", "readers", "visitors", "collectors", "students", "parents", "neighbours", "members",
    ),
    "tool": (
        "a soft brush", "a fine pen", "a ruler", "scissors and glue", "thick paper", "a pair of compasses",
        "cheap gouache", "a worn sponge", "a printing block", "charcoal",
    ),
    "mood": ("calm", "cheerful", "careful", "stubborn", "playful", "patient", "modest", "curious"),
    "subject": (
        "drawing", "composition", "printing", "pattern making", "counting games", "layout", "visual memory",
        "geometry for beginners", "children's books", "sign painting", "poster design", "stencil work",
    ),
})  # fmt: skip

FILLERS = (
    "{person} has taught {subject} at {venue} in {town} for {number} years.",
    "The class meets every week in {month} and is open to {people} of any age.",
    "Nobody in {town} expected that {subject} would draw so many {people}.",
    "In {month} {year} the work was shown for the first time at {venue}.",
    "All you need to begin is {tool} and an hour without interruptions.",
    "A {mood} hand matters more than talent, says {person}.",
    "The {people} were asked to look for a full minute before they said a word.",
    "Most beginners hurry, and the result shows it at once.",
    "We spoke with {person} about {subject} and the habits that make it easier.",
    "It took {number} attempts before the group was happy with the result.",
    "Some of the sheets were later sold to help pay for the roof of {venue}.",
    "{person} keeps every draft in a drawer and looks at them once a year.",
    "Letters from {people} in {town} reach the office nearly every day.",
    "There is no secret to {subject}; there is only practice.",
    "The exercise below comes from a handbook printed in {year}.",
    "With {tool} even a {mood} amateur can get a clean edge.",
    "Each week we publish one study and explain how it was made.",
    "The editors of this page chose it from {number} submissions.",
    "{town} has a long tradition of {subject}, though few remember how it began.",
    "Try the same study twice, once quickly and once slowly, and compare.",
    "Critics called the series {mood}, which {person} took as a compliment.",
    "A simple arrangement teaches more about {subject} than a crowded one.",
    "Several {people} told us that they had copied it at home.",
    "The original hangs at {venue}, not far from the entrance.",
    "Entry is free on the first Monday of {month}.",
    "{person} moved to {town} in {year} and opened a studio there.",
    "The hardest part, according to {person}, is knowing when to stop.",
    "Good {subject} leaves room around every figure.",
    "The paper was prepared with {tool} on the day before.",
    "Since {year} the course has been filled within {number} days.",
    "What looks easy from a distance needs a {mood} eye up close.",
    "Ask a friend to describe what you made, and listen without correcting.",
    "The whole lesson lasts about {number} minutes.",
    "Children understand this kind of picture sooner than many {people} do.",
    "{venue} in {town} will show the complete set until the end of {month}.",
    "A note on the back says that it was finished in {month} {year}.",
    "We measured the edges and found them straighter than we had guessed.",
    "Reproductions never quite match the original, but they come close.",
    "If you have questions about {subject}, write to the editors.",
    "The jury praised its order and its {mood} tone.",
    "{person} never signs the front of a sheet.",
    "Beginners should repeat it until they can do it from memory.",
    "A second version, made with {tool}, was lost when {venue} moved.",
    "The study was part of a series about {subject} that ended in {year}.",
    "It is worth reading the notes that {person} wrote in the margin.",
    "Not every visitor stops here, but those who do stay for a while.",
    "The lesson is plain: decide first, then begin.",
    "More than {number} schools near {town} use the same exercise.",
    "Some {people} prefer to work with {tool}, and that is fine too.",
    "The next meeting of the {subject} club is planned for {month}.",
    "{person} compares the work to music that leaves pauses.",
    "Every sheet in the series has the same size and the same margin.",
    "You can try this at home with {tool} and a kitchen table.",
    "The first print run was gone after {number} weeks.",
    "A reader in {town} sent us a long letter about it.",
    "The {mood} mood of the sheet comes from its empty space.",
    "According to the catalogue of {year}, it was made in a single afternoon.",
    "That is the kind of detail which {people} tend to overlook.",
    "At {venue} the lights are dimmed to protect the paper.",
    "Those who want to learn {subject} should start with very few elements.",
)

LEAD_INS = (
    "The next picture is a good example.", "Have a look at the following sheet.", "This is how it turned out.",
    "The result can be seen below.", "Here is the study in question.", "One picture says it best.",
    "The sheet below was made in class.", "Now compare it with this one.",
)  # fmt: skip

NAMING_LEAD_INS = (
    "The next sheet shows {}.", "Below you can see {}.", "For this study the group chose {}.",
    "The following picture has {}.", "The task was to draw {}.", "It began with {}.",
)  # fmt: skip

TITLES = (
    "A lesson in {subject} from {town}", "How {person} works", "Notes on {subject}", "A morning at {venue}",
    "What {people} learn from {subject}", "The {mood} sheets of {town}", "{subject}, step by step",
    "{person} and the art of leaving out", "Study of the week: {month} {year}", "Small pictures from {town}",
    "Why {subject} needs a {mood} hand", "A letter from {town} about {subject}",
)  # fmt: skip

HEADINGS = (
    "How it was made", "The study", "Looking closer", "Another example", "What to notice", "From the archive",
    "The exercise", "A second look",
)  # fmt: skip


def fill(template: str, rng: random.Random) -> str:
    """Return the template with each {slot} replaced by a random word of `SLOTS`, its first letter upper case."""
    text = template.format_map({name: rng.choice(options) for name, options in SLOTS.items()})
    return text[0].upper() + text[1:]


def fillers(rng: random.Random, number: int) -> str:
    """Return `number` (0-60) different sentences of an article, joined by spaces."""
    return " ".join(fill(template, rng) for template in rng.sample(FILLERS, number))


def title(rng: random.Random) -> str:
    """Return a headline."""
    return fill(rng.choice(TITLES), rng)
