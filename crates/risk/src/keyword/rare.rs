//! How rare the grams of words are, and where in a word the rarest stand.

use crate::keyword::gram::{GRAM, OF_GRAM, folded, number};

/// Bits of the number of a gram in the list of common ones.
const COMMON_BITS: u32 = 15;
/// Letters from the commonest in text and code to the rarest.
const LETTERS: &[u8] = b" etaoinsrlcdpumhfgbyvwkxjqz";
/// The commonest grams in the history of some thirty thousand commits of five programs, and in their
/// documents, the commonest first.
const COMMON: &[u8] = b"\
    \x20thionesttes reconthetiostrdataaaataingreshe  co  c stopt inhttttpent ifed procomver  iileindfor\
    er andgitateuseultit ameatifil toterecttrundeintis to on set seinedefitht cseronsnamreaendt alin\
    \x20 ror ct ode dedifstssslturng  li  sallst es ersse errde codeadrettatucteasnd  anrucoutetuctionn\
    \x20teortchedexessbleasschaurn wi noe tthi foder is fihisif  prabl ma cllenargiffprell e cparrinex \
    nt porock chff in rn asydirgetasean siole  pannepenre incharefiizeadd caist ustpsdocwinfinspaar \
    esuonftri a sulnteostuncpanimeopeet nfiticn cfunen bugsiz offigwitmplnotmattedreqnstplee socspat\
    lserattimypeorm htcluitelud opitinit datyp alake enncle ithuertudeic rrolasth areof exthanlespti\
    ten si hasocrecs tomm  fne  be  ehert trororehubaderlo exoole a as  denstorrsiclaautbufailndi do\
    sel  tonehosont onas s aackleame lop sonfoperoto";

/// How rare each gram is, by its number, and each letter; only the order counts.
struct Rarity {
    grams: [u16; 1 << COMMON_BITS],
    letters: [u8; 256],
}

/// The rarity of grams, worked out by the compiler.
static RARITY: Rarity = Rarity::new();

impl Rarity {
    #[expect(clippy::indexing_slicing, reason = "the compiler looks up each place")]
    const fn new() -> Self {
        let mut grams = [COMMON.len() as u16; 1 << COMMON_BITS];
        let mut at = 0;
        while at < COMMON.len() / GRAM {
            let (first, second, third) = (COMMON[3 * at], COMMON[3 * at + 1], COMMON[3 * at + 2]);
            let gram = u32::from_le_bytes([first | 0x20, second | 0x20, third | 0x20, 0]);
            grams[number(gram, COMMON_BITS)] = at as u16;
            at += 1;
        }
        let mut letters = [LETTERS.len() as u8 - 4; 256];
        let mut at = 0;
        while at < LETTERS.len() {
            letters[LETTERS[at] as usize] = at as u8;
            at += 1;
        }
        Self { grams, letters }
    }

    fn of(&self, gram: &[u8]) -> usize {
        let place = self
            .grams
            .get(number(folded(gram) & OF_GRAM, COMMON_BITS))
            .copied();
        let place = usize::from(place.unwrap_or(0));
        if place < COMMON.len() {
            return place;
        }
        let letter = |byte: &u8| self.letters.get(usize::from(*byte)).copied();
        let letters = gram.iter().filter_map(letter).map(usize::from);
        place + letters.sum::<usize>()
    }
}

/// Where the first of the rarest two windows of a word stands.
pub(crate) fn rarest_windows(bytes: &[u8]) -> usize {
    // A window is as rare as the rarer of its grams.
    let (mut rarest, mut best) = (0, 0);
    let (mut first, mut second) = (0, 0);
    for (end, gram) in bytes.windows(GRAM).enumerate() {
        let third = RARITY.of(gram);
        let both = usize::min(first.max(second), second.max(third));
        if end >= 2 && both >= best {
            (rarest, best) = (end - 2, both);
        }
        (first, second) = (second, third);
    }
    rarest
}
