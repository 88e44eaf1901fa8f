"""Word lists that tell names from words: made from general knowledge, English, and never whole.

All of them are compared as `plain_key` writes words. What they are used for is in service/names.py
and service/tags.py.
"""

import unicodedata


def plain_key(text: str) -> str:
    """A word without case, accents and apostrophes, as names are compared."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(one for one in plain if one.isalpha())


def _listed(words: str) -> frozenset[str]:
    """A word list, as `plain_key` writes words: without apostrophes."""
    return frozenset(words.replace("'", "").split())


GIVEN = _listed(
    """
    aaliyah aaron abby abdul abdullah abigail abu ada adaeze adam addison adele adrian adriana
    agnes agnieszka ahmad ahmed aidan aiden aisha aisling aki akira alan alana alastair alba
    albert alberto alejandra alejandro alessandro alex alexa alexander alexandra alexis alfie
    alfred ali alice alicia alina alison alistair allan allison alma alvaro alyssa amanda amara
    amelia amelie amina amir amit amy ana anastasia anders andre andrea andreas andrei andres
    andrew andy angela angelina angie angus anika anil anita anja anjali ann anna annabel anne
    annette annie anthony antoine anton antonia antonio anya archie ari ariana arjun arnold
    arthur arturo arun asha ashley astrid ava ayesha aylin barbara barry beatrice beatriz becca
    becky belinda ben benedict benjamin bernadette bernard bernie beth bethany betty beverly
    bianca blanca bogdan boris brandon brenda brendan bret brett brian bridget brigitte britney
    brittany bronwyn bruce bruno bryan caitlin callum calvin cameron camila camille candice
    carl carla carlos carmen carol carolina caroline carolyn carrie casey cassandra cassie
    catherine cathy cecilia cedric celeste celia charlene charles charlie charlotte chelsea
    cheryl chiamaka chiara chidi chioma chloe chris christina christine christopher chukwu
    ciara cindy claire clara clarence claudia clayton clive colin colleen connor conor corey
    corinne courtney craig cristina crystal curtis cynthia daisuke dale damian damien dan dana
    daniel daniela danielle danny daphne darius darren dave david dawid debbie deborah declan
    deirdre delia denise dennis derek desmond devin devon dexter diana diane diego dimitri
    dmitri dominic dominik dominique donald donna doreen doris dorothy doug douglas duncan
    dustin dylan eamon ed eddie edgar edith edna eduardo edward edwin eileen elaine eleanor
    elena eli elias elif elijah elin elisa elise eliza elizabeth ella ellen ellie elliot
    elliott elsa elsie emeka emil emilia emilio emily emma emmanuel enrique eric erica erik
    erika erin ernest esmeralda esther ethan eugene eva evan evelyn ewa fatima fatou federico
    felicity felipe felix fernanda fernando fiona florence francesca francesco francine francis
    francisco francois fred freddie frederick freya gabby gabriel gabriela gabrielle gareth
    gary gavin gemma geoff geoffrey george georgia georgina gerald geraldine gerard gianni
    gillian gina giorgio giovanni giulia gloria gordon graham grainne greg gregory greta
    guillermo gustavo hakim hamza hannah hans harold harriet harry harvey hasan hassan hayden
    hazel hector heidi helen helena henrik henry hilary hiroshi howard hugh hugo hussein ian
    ibrahim ifeoma ignacio igor imani imran ines ingrid irene irina irma isaac isabel isabella
    isabelle isaiah isla ismael ivan ivana jackie jackson jacob jacqueline jaime jake jakub
    jamal james jamie jan jane janet janice janine jared jasmin jason javier jeanette jeff
    jeffrey jelena jen jenna jennifer jenny jeremy jerome jesse jessica jill jim jimmy joan
    joanna joanne joaquin jodie joe joel joey johan johann johanna johannes john johnny jon
    jonah jonas jonathan jordan jorge jose joseph josephine joshua josie joyce juan juanita
    judith judy julia julian juliana julie juliet julio justine justyna kaitlyn kamal karen
    karim karina karl karla karolina kasia kat katarina kate katherine kathleen kathryn kathy
    katia katie katrina katya kayla keiko keisha keith kelly kelvin kendra kenji kenneth kenny
    kerry kevin khadija khalid kieran kiran kirsten kirsty klaus kofi kristen kristin kristina
    kumar kurt kwame kyle lakshmi lamar lara larisa larry lars latoya laura lauren laurence
    laurie lawrence layla leah leanne leila lena leo leon leona leonard leonardo leroy leslie
    leticia levi lewis liam lidia lila lillian lina linda lindsay lindsey lionel lisa lloyd
    logan lois lola lorena lorenzo loretta lorraine louis louisa louise luca lucas lucia
    luciana lucinda lucy luigi luis luisa lukas luke lydia lynette lynn mackenzie maddie
    madeleine madison maeve magda magdalena mahmoud maisie malcolm malik manuel manuela mara
    marc marcel marcela marcia marco marcos marcus margaret margarita margot maria mariam
    mariana marianne marie marilyn marina mario marion marisa marisol marjorie marlene marlon
    marta martha martin martina marvin mary maryam mateo matt matteo matthew maureen maurice
    mauricio maxine maxwell maya megan mehmet mei melanie melissa mercedes meredith mia micah
    michael michaela micheal michele michelle miguel mike mikhail mila milan mildred mina mira
    miranda miriam mitchell mohamed mohammad mohammed moira molly mona monica monika morgan
    moses muhammad muriel mustafa nadia nadine naomi natalia natalie natasha nathan nathaniel
    neha neil nelson niamh nicholas nicola nicolas nicole niels nigel nikhil nikita nikki
    nikolai nina noah noel noelle nora norma norman nuala olaf oleg olga oliver olivia olu omar
    orla oscar osman owen pablo paddy padraig pamela paola parker patricia patrick paul paula
    pauline pawel pedro peggy penelope percy petra phil philip philippa phillip phoebe phyllis
    pierre piotr priya quentin quinn rachel rafael rahul ralph ramon raquel rashid raul ravi
    raymond rebecca reggie regina reginald rene renee reuben rhiannon rhonda ricardo richard
    rick ricky rita robert roberta roberto robyn rochelle roderick rodney rodrigo roger roland
    roman ron ronald ronan ronnie rory rosa rosalind rosanna rosario roseanne rosemary rosie
    ross rowan rowena roxanne roy ruben rudy rupert russell ruth ryan sabrina sadie saied sally
    salma sam samantha samir samuel sandra sanjay santiago saoirse sara sarah sasha saul scott
    sean sebastian selena selina serena sergei sergio seth shane shannon sharon shaun shauna
    sheena sheila shelby shelley shirley shreya siddharth sidney silvia simon simone sinead
    siobhan sofia sonia sonja sophia sophie stacey stacy stan stanley stefan stefania stella
    stephanie stephen steve steven stuart sunil susan susana susanna susie suzanne sven
    svetlana sylvia tabitha tamara tamika tania tanya tara tariq tasha tatiana taylor ted
    terence teresa terri terry tessa thelma theo theodore theresa thomas tiago tiffany tim
    timothy tina tobias toby todd tom tomas tommy toni tony tracey tracy trevor tricia tristan
    trudy tyler tyrone ulrike uma una ursula usman valentina valeria valerie vanessa vera
    vernon veronica vicky victor victoria vijay vikram vincent vincenzo viola virginia vivian
    viviana vladimir walter wanda warren wayne wendy wesley wilfred wilhelm willem william
    wilma winston wojciech xavier ximena yana yasmin yasmine yolanda yosef youssef yuki yusuf
    yvette yvonne zach zachary zainab zara zeynep zoe zofia zuzanna
    """
)
"""Given names that are hardly a word beside: found in any case. From general knowledge, made
before any transcript was looked at."""

FAMILY = _listed(
    """
    abbott adams adebayo agarwal ahmed akhtar alvarez andersen anderson aziz bailey banerjee
    barnes becker begum bennett bianchi brennan campbell carvalho castillo castro chatterjee
    chaudhry chavez chen cheng chowdhury christensen clarke coleman collins contreras costa
    cruz cunningham davies davis delgado desai diallo diaz dimitrov doherty domingo donovan
    doyle duarte dubois edwards eriksen evans fernandes fernandez ferrari ferreira fischer
    fitzgerald flores fofanah fraser friedman gallagher garcia gibson goldberg gomes gomez
    gonzales gonzalez griffin griffiths gupta gutierrez guzman haddad hansen harris harrison
    hassan henderson hernandez herrera hoffmann hughes hussain ivanov iyer jackson jacobs
    jenkins jensen jimenez johansson johnson johnston jones joshi kapoor kaur kelly khan
    kowalski kozlov krishnan larsen lefebvre levin levine lewandowski lombardi lopez macdonald
    mahmood mancini marino marshall martinez mbeki mccarthy mcdonald mckenzie medina mehta
    mendes mendez mendoza mensah meyer mitchell molina morales moreau moreno morris mueller
    muller munoz murphy murray navarro nguyen nielsen nkosi nowak nwosu obrien oconnor okafor
    okeke okonkwo oliveira olsen oneill ortega ortiz osei owusu papadopoulos patel pereira
    perez petersen petrov pham phillips popescu powell qureshi ramirez ramos rao reyes reynolds
    riley rivera rizzo roberts robertson robinson rodrigues rodriguez romano romero rossi ruiz
    ryan sanchez santos schmidt schneider schultz sharma sheikh silva simmons singh smith
    sokolov soto souza spencer stevens stewart sullivan suzuki takahashi tanaka thompson torres
    tran tremblay turner vargas vasquez vega wagner walsh watson weber williams williamson
    wilson wojcik wong wozniak yamamoto yilmaz zhang zhao zhou zimmerman
    """
)
"""Family names that are hardly a word beside."""

WORDS_TOO = _listed(
    """
    abe ace al amber angel apple april art ash aspen august autumn baker banks barber barney
    basil bay bea beau bell berg bill billy bishop black blake bliss blue bob bond bonnie booth
    brad bridges brook brooke brooks brown buck bud buddy burns bush butler candy carpenter
    carter cash chad chance charity chase chip christian chuck church clark clay cliff cody
    cole cook cooper coral crane cross cruise daisy dakota dallas dawn day dean deb dee dick
    dill dolly don drew duke earl eden ember eve faith fay fern fields finn fisher flora
    flowers floyd ford foreman forest foster fox frank fry gale garland gay gene ginger glen
    glenn gold golden goodman grace grant gray green grey guy hall harmony harper hart hayes
    heath heather herb hill holly holmes hood hope houston howe hull hunt hunter ike india iris
    ivy jack jade jasmine jay jean jerry jess jet jewel jo jock josh joy jude june junior
    justice justin kay keen ken kim king kit knight lamb lance lane laurel law lee leigh lily
    little long lou love low lucky mack major mal mandy mann mark mars marsh mason maverick max
    may mel melody mercer mercy merry miles miller mills mint misty monty moon moore nan nat
    nelly newman nick noble oak olive opal page paige pansy paris park parks parsons pat
    patience patty pearl penny perry pete peter phoenix pierce pike piper pitt pool pop poppy
    porter potter presley price prince prudence quincy rain randy raven ray reader red reed
    reese rhodes rice rich river rivers rob robbie robin rock rod rose ruby rusty sage sandy
    savannah sharp shaw shay shell short sierra singer skip sky skyler small snow sonny sparks
    spike star steele sterling stew stone storm sue summer sunny swan sydney tad tanner tate
    teddy temple terra tiger tilly timber towns trinity trip troy tucker underwood val van vic
    violet viv wade walker wall ward ware waters weaver webb wells wes west wheeler white will
    willow wise wolf wood woods woody worth wright young
    """
)
"""Names that are words too: found by their capital, or by what stands beside them."""

CAPITALISED_ANYWAY = _listed(
    """
    advil african allah amazon american april arabic asian august auntie aunty bible black
    brazilian british buddhist catholic cause chinese christmas da dad daddy danish december
    diwali dr dutch easter eastern eid english european facebook february french freudian
    friday german gestalt god google gran grandad granddad grandma grandpa granny greek
    halloween hanukkah heaven hell hindu hispanic hungarian ibuprofen ima indian instagram
    internet iphone irish italian january japanese jesus jewish july june korean latina latino
    lexapro lord ma madam mam mama mamá march may mexican mindfulness miss mom mommy monday mr
    mrs ms mum mummy muslim nan nana nanny netflix nigerian norwegian november october ok okay
    pa pakistani papa polish portuguese protestant prozac ramadan romanian russian saturday
    scottish september sir socratic spanish spotify sunday swedish thanksgiving thursday tiktok
    til tuesday turkish tv twitter tylenol uber ukrainian uncle valium wednesday welsh western
    whatsapp white xanax youtube zoloft zoom
    """
)
"""Words that English writes with a capital and that name nobody. Months are also names
("April"): a month counts as one only where what stands beside it says so."""

FUNCTION = _listed(
    """
    a about above across actually after again against ago all almost alone along already also
    although always am an and another any anybody anymore anyone anything anyway anywhere app
    appointment are around as ask asked asking asks at away back bad be became because become
    been before began behind being believe below better between big both brought but by call
    called calling calls came can can't cannot care come comes coming could couldn't cried dad
    decided definitely did didn't die died do does doesn't doing don't done down during each
    early easy eight either else enough even ever every everybody everyone everything exactly
    feel feeling feels felt few fine first five for found four from gave get gets getting give
    gives giving go goes going gone gonna good got gotta great guess had hadn't half happened
    hard has hasn't hate hates have haven't having he hear heard hello help helped helps her
    here here's hers herself hey hi him himself his home honestly how however i if in inside
    instead into is isn't it it's its itself just keep keeps kept kind knew know knows last
    late later least left less let let's like liked likes listen literally live lived lives
    look looked looking looks lot love loved loves made make makes making many married maybe me
    mean means meant met might mine more morning most mostly mother much must my myself named
    near need needed needs never new next nice night nine no nobody none nor not nothing now
    nurse obviously of off office often oh okay old on once one only onto or other others our
    ours out outside over own paid passed people perhaps picked please prescribed pretty
    probably put quite ran rather real really recommended referred right sad said same sat saw
    say saying says see seem seemed seems seen send sent seven shall she should shouldn't since
    sit six slept so some somebody somehow someone something sometimes somewhere soon sorry
    started starts stay stayed still stop stopped such suddenly suggested sure surgery take
    taken takes taking talk talked talking tell telling tells ten than thank thanks that that's
    the their theirs them themselves then there there's these they thing things think thinking
    thinks this those though thought three through till to today together told tomorrow tonight
    too took totally toward tried tries trying turned two uh um under until up upon us use used
    usually very wait walked want wanted wants was wasn't watch watched way we week well went
    were weren't what what's whatever when where whether which while who who's whole whose why
    with without woke won't wonder work worked working works would wouldn't wrote yeah year
    years yes yesterday yet you your yours yourself
    """
)
"""Words after "my sister" or "doctor" that go on with the sentence, and that no capital makes a
name."""

KIN = _listed(
    """
    aunt auntie baby boss boyfriend brother buddy coach colleague counsellor counselor cousin
    coworker dad daughter doctor ex father fiance fiancee fiancé fiancée flatmate friend
    girlfriend gran granddaughter grandfather grandma grandmother grandpa grandson housemate
    husband kid landlord lawyer manager mate mom mother mum neighbor neighbour nephew niece
    partner psychiatrist roommate sister son sponsor stepdad stepmom stepmum supervisor teacher
    therapist twin uncle wife
    """
)
POSSESSIVE = _listed("my his her their our your")
TITLES = _listed("dr mr mrs ms mx prof doctor professor miss")
"""Titles that go with their name into the tag."""

SURE_TITLES = _listed("dr mr mrs ms mx prof")
"""Titles that are no word beside: what follows is a name, in any case."""

KIN_TITLES = _listed(
    "mister judge uncle auntie aunt aunty nurse pastor father sister rabbi imam officer coach"
)
"""Words that stay, and after which a capital is a person's."""

STANDING_ALONE = TITLES | KIN_TITLES
"""Words that address somebody and name nobody: "Hello, doctor"."""

GREETINGS = _listed("hi hello hey dear thanks bye goodbye morning afternoon evening welcome")
SURE_GREETINGS = _listed("hi hello hey bye")
PRONOUNS = _listed("you i we he she they it")
OPENERS = _listed("well so okay ok look listen no yes yeah right and but oh um uh thank you good")
YOU_WORDS = _listed(
    "you your youre youve can could would do did are how what why please thank thanks sorry tell"
)
"""What goes on after a vocative: "Maria, how was …". After "Maria, she …" Maria is a third."""

I_WORDS = _listed("i im we let where when")
"""The same where a therapist speaks, who is seldom heard to lament somebody by name."""

SPEECH = _listed(
    """
    asked asks called calls came goes hates keeps kept knows left likes lives loves moved
    phoned rang said says texted texts thinks told wanted wants went
    """
)
"""Verbs after which a word was somebody's name: a person does them, and "will" does not precede
their forms."""

GENERIC = _listed(
    """
    agent and android caller cbt channel client clinician coach counsellor counselor customer
    dad doctor dr father female from galaxy guest he her hers him his host husband interpreter
    interviewee interviewer ipad iphone laptop lcsw left licsw lmft lmhc lpc macbook male md me
    mic miss mom mother mr mrs ms msw mum mx of other participant partner patient person phd
    phone practitioner prof professor psychiatrist psychologist psyd right room she speaker spk
    the theirs them therapist they translator unidentified unknown user voice wife you zoom
    """
)
"""Words of speaker labels that name nobody."""

PARTICLES = _listed("van der den de la le da dos del di von bin ibn al el mac mc o st")

NOUNS_CALLED = _listed(
    "girl guy man woman boy bloke lad lady fella friend kid person dog cat someone somebody"
)
