"""The words that captions are made of: every way in which one fact can be told, as tables.

In the templates, {a} and {b} are things; {is_a} and {it_a} (or _b) agree with how many they are. What stands more than
once is said more often.
"""


def _table(text: str) -> tuple[str, ...]:
    """The templates of a text, which are separated by bars or ends of lines."""
    return tuple(part.strip() for line in text.splitlines() for part in line.split("|") if part.strip())


# What agrees with one and with several.
VERBS = ("is", "are")
PRONOUNS = ("it", "them")

ARTICLES = ("a", "an")
NUMBERS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = ("", *"123456789")
COUNTED = "{n} {a}"
ONE = _table("one | a single | 1 | the | this")
TWO = _table("a couple of")
PAIR = _table("a pair of {a} | pair of {a}")
ROW = _table(
    """
    a row of {n} {a} | row of {n} {a} | {n} {a} in a row | {n} {a} side by side | {n} {a} in a line
    """
)

SIZED = "{size} {a}"
SIZES = {
    "small": _table("small | small | little | tiny"),
    "big": _table("big | big | large | huge | giant"),
}
UPSIDE_DOWN = _table(
    """
    upside-down {a} | upside down {a} | {a} upside down | {a} turned upside down | flipped {a}
    """
)
COLOURED = ("{colour} {a}",) * 8 + ("{colour} coloured {a}", "{colour} colored {a}")
CHARMED = "{charm} {a}"
CHARMING = _table("cute | funny | lovely | nice | beautiful | adorable | cool | pretty")

PLACES = {
    "left": _table("on the left | on the left side | at the left | to the left | left"),
    "right": _table("on the right | on the right side | at the right | to the right | right"),
    "top": _table("at the top | on top | in the upper half | at the top of the picture | top"),
    "bottom": _table("at the bottom | in the lower half | at the bottom of the picture | bottom"),
    "centre": _table("in the centre | in the center | in the middle | at the center | centred | center"),
    "top left": _table("in the top left corner | in the top left | at the top left | in the upper left | top left"),
    "top right": _table(
        """
        in the top right corner | in the top right | at the top right | in the upper right | top right
        """
    ),
    "bottom left": _table(
        """
        in the bottom left corner | in the bottom left | at the bottom left | in the lower left | bottom left
        """
    ),
    "bottom right": _table(
        """
        in the bottom right corner | in the bottom right | at the bottom right | in the lower right | bottom right
        """
    ),
}
PLACED = _table(
    """
    {a} {place} | {a} {place} | {a} {place} | {place}, {a} | {place} {is_a} {a} | {place}: {a}
    """
)

# Two things of which nothing more is told. What has a place is only listed; what could be worn is not told in the ways
# of `ACCOMPANIED` and `MEETING`.
ENUMERATED = "{a}, {b}"
LISTED = ("{a} and {b}", "{a} and {b}", ENUMERATED)
TOGETHER = LISTED + _table("{a} & {b} | {a} next to {b} | {a} beside {b} | {a} plus {b}")
ACCOMPANIED = _table("{a} with {b} | {a} together with {b} | {a} alongside {b} | {a} by {b} | both {a} and {b}")
MEETING = _table(
    """
    {a} meeting {b} | {a} looking at {b} | {a} visiting {b} | {a} greeting {b} | {a} near {b} | {a} dancing with {b}
    {a} playing with {b} | {a} talking to {b} | {a} thinking of {b}
    """
)
LISTED_THREE = _table(
    """
    {a}, {b} and {c} | {a}, {b}, and {c} | {a}, {b}, {c} | {a} and {b} and {c} | {a} & {b} & {c}
    """
)
THREE = LISTED_THREE + _table("{a} with {b} and {c} | {a} next to {b} and {c}")

LEFT = _table(
    """
    {a} to the left of {b} | {a} left of {b} | {a} on the left of {b} | {a} {is_a} to the left of {b}
    {b} to the right of {a} | {b} right of {a} | {b} on the right of {a} | {b} {is_b} to the right of {a}
    to the left of {b} {is_a} {a} | to the right of {a} {is_b} {b} | left of {b} {is_a} {a}
    {a} on the left and {b} on the right | {a} on the left, {b} on the right | left: {a}, right: {b}
    on the left {a}, on the right {b} | {b} on the right and {a} on the left | {a} left, {b} right
    {b} with {a} to the left of {it_b} | {b} that {is_b} to the right of {a} | {a} just left of {b}
    """
)
ABOVE = _table(
    """
    {a} above {b} | {a} above {b} | {a} over {b} | {a} {is_a} above {b} | {a} floating above {b} | {b} below {a}
    {b} below {a} | {b} under {a} | {b} beneath {a} | {b} underneath {a} | {b} {is_b} below {a} | above {b} {is_a} {a}
    below {a} {is_b} {b} | under {a} {is_b} {b} | {a} at the top and {b} at the bottom | top: {a}, bottom: {b}
    {b} with {a} above {it_b} | {a} with {b} below {it_a} | {a} with {b} underneath | {a} above and {b} below
    {a} higher than {b}
    """
)
ON_TOP = _table("{a} on top of {b} | {a} on {b}")
WEARING = _table(
    """
    {a} wearing {b} | {a} wearing {b} | {a} wearing {b} | {a} in {b} | {a} with {b} | {a} with {b} on | {b} on {a}
    {b} worn by {a} | {a} that wears {b} | {a} wears {b} | {a} {is_a} wearing {b} | {a} who wears {b}
    {a} dressed in {b} | {a} has {b} on | {a} has {b}
    """
)
WEARING_HAT = _table(
    """
    {a} with {b} on its head | {b} on the head of {a} | {b} on top of {a} | {a} with {b} on top
    {a} has {b} on its head
    """
)
WEARING_GLASSES = _table("{a} with {b} on its face | {a} looking through {b} | {b} on the face of {a}")
HOLDING = _table(
    """
    {a} holding {b} | {a} holding {b} | {a} holding {b} | {a} carrying {b} | {a} with {b} | {a} holds {b}
    {b} held by {a} | {b} carried by {a} | {a} that holds {b} | {a} {is_a} holding {b} | {a} has {b}
    {a} with {b} in its hand | {a} carries {b} | {b} in the hand of {a} | {a} bringing {b}
    """
)
EATING = _table("{a} eating {b} | {a} eating {b} | {a} eats {b} | {a} having {b} | {a} snacking on {b}")
DRINKING = _table("{a} drinking {b} | {a} drinking {b} | {a} drinks {b} | {a} having {b}")
READING = _table("{a} reading {b} | {a} reading {b} | {a} reads {b} | {a} looking into {b}")
PLAYING = _table("{a} playing {b} | {a} playing {b} | {a} plays {b} | {a} playing on {b}")
INSIDE = _table(
    """
    {a} in {b} | {a} in {b} | {a} inside {b} | {a} inside {b} | {b} with {a} in it | {b} with {a} inside
    {a} sitting in {b} | {a} peeking out of {b} | {a} looking out of {b} | {b} containing {a} | inside {b} {is_a} {a}
    in {b} there {is_a} {a} | {b} and in it {a} | {a} {is_a} in {b} | {a} coming out of {b} | {b} that contains {a}
    {a} within {b}
    """
)
IN_FRONT = _table(
    """
    {a} in front of {b} | {a} in front of {b} | {b} behind {a} | {b} behind {a} | {a} {is_a} in front of {b}
    {b} {is_b} behind {a} | behind {a} {is_b} {b} | in front of {b} {is_a} {a} | {b} partly hidden by {a}
    {a} in front, {b} behind | {b} hiding behind {a} | {b} with {a} in front of {it_b} | {a} before {b}
    {b} half hidden behind {a} | {b} in the back and {a} in the front | {a} with {b} behind {it_a}
    """
)
TELEGRAPHIC = _table("{a} {b} | {a} {b} | {a} + {b} | {a}, {b}")
BYSTANDER = _table(
    """
    {c} and {ab} | {c} next to {ab} | {ab}, and {c} | {ab}, {c} | {c}, {ab} | {ab} beside {c} | {c} with {ab}
    """
)

# What people say of more than one relation; who tells everything does not.
VAGUE = frozenset(_table("{a} with {b} | {a} has {b} | {a} on {b}"))

# Backgrounds: {x} is what stands before it, {colour} its name, {a_colour} the name with its article.
BACKGROUND = _table(
    """
    {x} on {a_colour} background | {x} on {a_colour} background | {x} on {a_colour} background
    {x} on {a_colour} background | {x} on {a_colour} background | {x} on {colour} background | {x} on {colour}
    {x} against {a_colour} background | {x}, {colour} background | {x}, {colour} bg | {x} {colour} background
    {x} in front of {a_colour} background | {x} with {a_colour} background | {x} with {colour} background
    {x} on {a_colour} backdrop | {x} over {a_colour} background | {x}, background {colour}
    {x}, on {a_colour} background | {x}, the background is {colour} | {x}, {colour} backdrop
    on {a_colour} background, {x} | on {a_colour} background {x} | on {colour}: {x} | on {colour}, {x}
    {colour} background with {x} | {a_colour} background with {x} | {colour} background, {x} | {colour} bg, {x}
    against {a_colour} background, {x} | {colour} background: {x} | the background is {colour}, {x}
    """
)
SCENERY = {
    "night sky": _table(
        """
        {x} at night | {x} in the night sky | {x} under the stars | {x} in a starry night | {x}, night sky
        {x} under a night sky | {x} under a starry sky | at night, {x} | in the night sky {x} | night sky with {x}
        {x} on a night sky | {x} against the night sky | {x} on a night sky background | night sky background, {x}
        {x} by night
        """
    ),
    "meadow": _table(
        """
        {x} in a meadow | {x} on a meadow | {x} on the grass | {x} in the grass | {x}, meadow | {x} in a field
        {x} on a green meadow | in a meadow, {x} | a meadow with {x} | in the grass {x} | {x} on a lawn
        {x} on a meadow background | meadow background, {x} | {x} in a green field | {x} in a grass field
        outdoors on grass, {x}
        """
    ),
    "beach": _table(
        """
        {x} on the beach | {x} on a beach | {x} at the beach | {x} by the sea | {x}, beach | {x} on the sand
        {x} at the seaside | on the beach, {x} | a beach with {x} | at the beach {x} | {x} on a sandy beach
        {x} on a beach background | beach background, {x} | {x} at the sea | {x} on the shore
        """
    ),
    "snow": _table(
        """
        {x} in the snow | {x} on snow | {x} in winter | {x} in a snowy landscape | {x}, snow | {x} on the snow
        in the snow, {x} | in winter, {x} | a snowy landscape with {x} | in the snow {x} | {x} in snow
        {x} on a snow background | snow background, {x} | {x} outside in the snow | {x}, snowy background
        """
    ),
}

# In the names of things these tell a colour: a "red apple" is never blue.
COLOUR_WORDS = frozenset(
    _table("red | orange | yellow | green | blue | purple | violet | pink | brown | black | white | scarlet")
)

# What people write around what they want.
REQUESTS = _table(
    """
    photo of {x} | a photo of {x} | picture of {x} | a picture of {x} | an image of {x} | image of {x}
    a drawing of {x} | drawing of {x} | please draw {x} | draw {x} | draw me {x} | show me {x} | show {x} | i want {x}
    i would like {x} | generate {x} | create {x} | create an image of {x} | paint {x} | make {x} | an emoji of {x}
    emoji of {x} | an illustration of {x} | illustration of {x} | a cartoon of {x} | can you draw {x}
    could you draw {x} | give me {x} | imagine {x} | a painting of {x} | a scene with {x} | a picture that shows {x}
    a picture with {x} | here is {x} | let's see {x} | we see {x} | you can see {x} | there {is_a} {x}
    there {is_a} {x} | there {is_a} {x} | there {is_a} {x} | there {is_a} {x} | there {is_a} {x}
    """
)
CLOSINGS = _table(
    """
    {x}, please | {x} please | {x} emoji | {x}, cartoon style | {x}, digital art | {x}, illustration | {x}.
    {x}, high quality | {x}! | {x}. | {x}, drawing | {x}, clip art
    """
)

# What begins with one of these, or holds one of those, is no name of things: nobody asks for "a photo of on the left".
OPENINGS = frozenset(
    _table(
        """
        above | at | behind | below | both | bottom | bottom: | center | center: | centred | in | inside | left
        left: | on | right | right: | to | top | top: | under
        """
    )
)
CLAUSES = frozenset(_table("is | are | has | wears | holds | carries | eats | drinks | reads | plays"))

# What is done with held things, by their names.
FOOD = frozenset(
    _table(
        """
        apple | avocado | bacon | bagel | baguette | banana | bell pepper | blueberries | bread | broccoli | burger
        burrito | cake | candy | carrot | cheese | cherries | chicken leg | chili pepper | chocolate bar | coconut
        cookie | corn | croissant | cucumber | cupcake | dango | donut | dumpling | egg | eggplant | falafel
        fortune cookie | fried egg | fried shrimp | fries | grapes | hot dog | ice cream | kebab | kiwi
        lemon | lettuce | lollipop | mango | meat on a bone | melon | mushroom | olive | onion | orange
        pancakes | pea pod | peach | peanut | pear | pie | pineapple | pizza | popcorn | potato | pretzel | pudding
        rice ball | sandwich | shrimp | slice of cake | steak | strawberry | sundae | sushi | sweet potato | taco
        tomato | waffle | watermelon
        """
    )
)
DRINKS = frozenset(
    _table("beer | bubble tea | champagne | cocktail | glass of milk | juice box | sake | soda | tea | whisky")
)
MUSIC = frozenset(
    _table("accordion | banjo | bongo drum | drum | flute | guitar | maracas | saxophone | trumpet | violin")
)
PAGES = frozenset(_table("book | map | newspaper | notebook | open book | scroll"))
DEEDS = ((FOOD, EATING), (DRINKS, DRINKING), (MUSIC, PLAYING), (PAGES, READING))
