# What writes the tables of docs/: included by the Makefile, whose variables it uses.
.PHONY: bench-client quality rehearse

# Our connection against tritonclient's own ways, on one server: docs/client.md has a table of it.
bench-client: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m benchmarks.client.transports

# Localisation on scenes made from the test split of Fashion-MNIST (Debian: apt-get install dataset-fashion-mnist).
quality: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m benchmarks.localisation.quality

# A published architecture at full size, random weights, on the way of a GPU user: export with its gates, TensorRT-RTX preflight,
# then selector run by the embedded server, to picks (docs/export.md). No GPU, no download; without MODEL: what each model needs.
# make rehearse MODEL=sd15|dit-xl-2-256|sdxl|sd35-medium|pixart-sigma PRECISION=fp16|fp32
PRECISION ?= fp16
REHEARSED = rehearsal-$(or $(MODEL),models)
rehearse: $(TEST_ENV)/installed
	mkdir -p runs/rehearsals
	$(TEST_ENV)/bin/python -m benchmarks.export.rehearsal $(MODEL) --precision $(PRECISION) > runs/rehearsals/$(REHEARSED).md
	$(TEST_ENV)/bin/python -m benchmarks.document docs/export.md $(REHEARSED) runs/rehearsals/$(REHEARSED).md

# The tables of docs/results/, one target each. Students go on where they were stopped.
.PHONY: results-data results-students results-ipc50 results-budgets results-hard-labels results-architectures results-mosaics \
	results-finer-classes results-plain results-recipe results-orders results-picks results-selection-speed results-whole-commands \
	results-one-step results-frontier results-frontier-draws results-scales results-references \
	results-unlabelled results-assignment-budgets results-denoisers results-parts results-soak \
	results-colour results-centring results-solar
RESULTS := runs/results
SCENES = $(TEST_ENV)/bin/python -m benchmarks.scenes.generator
DOCUMENT = $(TEST_ENV)/bin/python -m benchmarks.document docs/results
METHODS := rded,random-image,random-patch,brightest,window-random,clusters,facility-location,herding,true-boxes,rded+centred
FEWER := rded,random-patch,facility-location,herding,true-boxes
WHOLE = $(RUN_ENV)/bin/python -m benchmarks.selection.scale
ORDERS := rded,clusters,facility-location,herding,window-random+centred,facility-location+centred,herding+centred,true-boxes
TEACHER = --teacher $(RESULTS)/teacher.pt --teacher-data $(RESULTS)/teacher.tar --teacher-steps 1500
EVALUATE = $(TEST_ENV)/bin/selector evaluate --pool-size 100 --recipe precision=bf16
STUDENTS = $(EVALUATE) --store $(RESULTS)/store --test $(RESULTS)/test.tar --out $(RESULTS)/students \
	$(TEACHER)
SECTION = $(TEST_ENV)/bin/python -m benchmarks.students.section --methods $(METHODS)

results-data: $(RESULTS)/data-ready
$(RESULTS)/data-ready: $(TEST_ENV)/installed
	$(SCENES) --split train --items 0:55000 --per-class 1500 --seed 21 --out $(RESULTS)/teacher.tar
	$(SCENES) --split train --items 0:55000 --per-class 800 --seed 81 --out $(RESULTS)/pool.tar
	$(SCENES) --split test --per-class 500 --seed 45 --out $(RESULTS)/test.tar
	$(TEST_ENV)/bin/selector score $(RESULTS)/pool.tar --store $(RESULTS)/store
	touch $@

results-students: results-data
	$(STUDENTS) --ipc 10 --pools 8 --methods $(METHODS)
	$(SECTION) $(RESULTS)/students --ipc 10 > $(RESULTS)/students.md
	$(DOCUMENT)/students.md students $(RESULTS)/students.md
	$(SECTION) $(RESULTS)/students --ipc 10 --view whole > $(RESULTS)/students-whole.md
	$(DOCUMENT)/students.md students-whole $(RESULTS)/students-whole.md

results-ipc50: results-data
	$(STUDENTS) --ipc 50 --pools 8 --methods $(FEWER)
	$(SECTION) $(RESULTS)/students --ipc 50 > $(RESULTS)/ipc50.md
	$(DOCUMENT)/students.md ipc50 $(RESULTS)/ipc50.md

# The plot of accuracy over IPC is of whatever is finished: run it after results-students and results-ipc50.
results-budgets: results-data
	$(STUDENTS) --ipc 1,2 --pools 8 --methods $(FEWER)
	$(SECTION) $(RESULTS)/students --ipc 1,2 > $(RESULTS)/budgets.md
	$(DOCUMENT)/students.md budgets $(RESULTS)/budgets.md
	cp $(RESULTS)/students/accuracy-object-convnet-soft.svg docs/images/accuracy-over-ipc.svg

results-hard-labels: results-data
	$(STUDENTS) --ipc 10 --pools 8 --labels hard --methods $(FEWER)
	$(SECTION) $(RESULTS)/students --ipc 10 --labels hard > $(RESULTS)/hard-labels.md
	$(DOCUMENT)/students.md hard-labels $(RESULTS)/hard-labels.md

# In a folder of their own and in float32: bfloat16 makes the ViT three times slower, not faster.
results-architectures: results-data
	$(EVALUATE) --store $(RESULTS)/store --test $(RESULTS)/test.tar --out $(RESULTS)/architectures --recipe precision=fp32 \
		$(TEACHER) \
		--ipc 10 --pools 4 --students vit-w64-p7,resnet18-w8,convnet --methods rded,random-patch,facility-location,herding
	$(SECTION) $(RESULTS)/architectures --students "" > $(RESULTS)/architectures.md
	$(DOCUMENT)/students.md architectures $(RESULTS)/architectures.md

# Four patches of a class, each at half the side, as the quarters of one training image.
results-mosaics: results-data
	$(EVALUATE) --store $(RESULTS)/store --test $(RESULTS)/test.tar $(TEACHER) \
		--out $(RESULTS)/mosaics --ipc 10 --pools 4 --mosaic 4 --methods rded,random-patch,facility-location,herding
	$(SECTION) $(RESULTS)/mosaics > $(RESULTS)/mosaics.md
	$(DOCUMENT)/students.md mosaics $(RESULTS)/mosaics.md

# Fewer and finer classes, garments for the upper body; a teacher of their own.
$(RESULTS)/finer/data-ready: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)/finer
	$(SCENES) --variant finer-classes --split train --items 0:55000 --per-class 1500 --seed 24 --out $(RESULTS)/finer/teacher.tar
	$(SCENES) --variant finer-classes --split train --items 0:55000 --per-class 800 --seed 34 --out $(RESULTS)/finer/pool.tar
	$(SCENES) --variant finer-classes --split test --per-class 500 --seed 44 --out $(RESULTS)/finer/test.tar
	$(TEST_ENV)/bin/selector score $(RESULTS)/finer/pool.tar --store $(RESULTS)/finer/store
	touch $@

results-finer-classes: $(RESULTS)/finer/data-ready
	$(EVALUATE) --store $(RESULTS)/finer/store --test $(RESULTS)/finer/test.tar --out $(RESULTS)/finer/students \
		--teacher $(RESULTS)/finer/teacher.pt --teacher-data $(RESULTS)/finer/teacher.tar --teacher-steps 1500 \
		--ipc 50 --pools 8 --methods $(FEWER)
	$(SECTION) $(RESULTS)/finer/students > $(RESULTS)/finer-classes.md
	$(DOCUMENT)/students.md finer-classes $(RESULTS)/finer-classes.md

# Fashion-MNIST itself: the window is the whole image, so methods differ by the images they choose alone.
$(RESULTS)/plain/data-ready: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)/plain
	$(SCENES) --variant plain --split train --items 0:55000 --per-class 800 --seed 33 --out $(RESULTS)/plain/pool.tar
	$(SCENES) --variant plain --split test --per-class 500 --seed 43 --out $(RESULTS)/plain/test.tar
	$(TEST_ENV)/bin/selector score $(RESULTS)/plain/pool.tar --patch-fraction 1 --draws 4 --store $(RESULTS)/plain/store
	touch $@

results-plain: $(RESULTS)/plain/data-ready results-data
	$(EVALUATE) --store $(RESULTS)/plain/store --test $(RESULTS)/plain/test.tar --out $(RESULTS)/plain/students \
		$(TEACHER) \
		--ipc 10,50 --pools 8 --methods rded,random-image,herding,clusters,facility-location
	$(SECTION) $(RESULTS)/plain/students > $(RESULTS)/plain.md
	$(DOCUMENT)/students.md plain $(RESULTS)/plain.md

# The recipe, looked at on scenes of items that no table is tested on, and on a pool that no table draws from.
$(RESULTS)/recipe/data-ready: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)/recipe
	$(SCENES) --split train --items 0:55000 --per-class 200 --seed 61 --out $(RESULTS)/recipe/pool.tar
	$(SCENES) --split train --items 55000:60000 --per-class 200 --seed 51 --out $(RESULTS)/recipe/validation.tar
	$(TEST_ENV)/bin/selector score $(RESULTS)/recipe/pool.tar --store $(RESULTS)/recipe/store
	touch $@

results-recipe: $(RESULTS)/recipe/data-ready results-data
	for temperature in 1 4 20; do $(EVALUATE),temperature=$$temperature --store $(RESULTS)/recipe/store \
		--test $(RESULTS)/recipe/validation.tar $(TEACHER) --out $(RESULTS)/recipe/t$$temperature --ipc 10 --pools 1 \
		--methods rded,true-boxes || exit; done

# Which order is the default: on scenes and items that no table is tested on (docs/decisions/014-orders.md). Windows as chosen
# on the grid, then centred (NAME+centred), whatever the repository says.
$(RESULTS)/orders/data-ready: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)/orders
	$(SCENES) --split train --items 0:55000 --per-class 800 --seed 62 --out $(RESULTS)/orders/pool.tar
	$(SCENES) --split train --items 55000:60000 --per-class 500 --seed 52 --out $(RESULTS)/orders/validation.tar
	$(TEST_ENV)/bin/selector score $(RESULTS)/orders/pool.tar --centring none --store $(RESULTS)/orders/store
	touch $@

results-orders: $(RESULTS)/orders/data-ready results-data
	$(EVALUATE) --store $(RESULTS)/orders/store --test $(RESULTS)/orders/validation.tar --out $(RESULTS)/orders/students \
		$(TEACHER) --ipc 10 --pools 8 --methods $(ORDERS)
	$(SECTION) $(RESULTS)/orders/students --methods $(ORDERS) > $(RESULTS)/orders.md
	$(DOCUMENT)/students.md orders $(RESULTS)/orders.md

results-picks: results-data
	test -f $(RESULTS)/teacher.pt || $(MAKE) results-students
	$(TEST_ENV)/bin/python -m benchmarks.students.pick_quality --store $(RESULTS)/store \
		--teacher $(RESULTS)/teacher.pt --methods $(METHODS),typicality,k-center,k-means > $(RESULTS)/picks.md
	$(DOCUMENT)/students.md picks $(RESULTS)/picks.md

results-selection-speed: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.selection.speed --classes 1000 > $(RESULTS)/selection-speed.json
	$(DOCUMENT)/selection.md selection-speed $(RESULTS)/selection-speed.json

# Whole commands at ImageNet's size, in the environment of `make run`; 9 GB of disk. BEFORE=DIR: a checkout of an earlier commit,
# which is measured at a quarter of the size, on one tar, beside this one.
results-whole-commands: $(RUN_ENV)/installed
	mkdir -p $(RESULTS)
	$(WHOLE) select --folder $(RESULTS)/quarter --classes 250 --tar $(if $(BEFORE),--before $(BEFORE)) > $(RESULTS)/quarter.json
	$(WHOLE) select --folder $(RESULTS)/full > $(RESULTS)/full.json
	$(WHOLE) start --folder $(RESULTS)/full > $(RESULTS)/start.json
	for table in quarter full start; do $(DOCUMENT)/selection.md whole-$$table $(RESULTS)/$$table.json; done

results-one-step: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/selector score --store $(RESULTS)/one-step/store
	$(TEST_ENV)/bin/python -m benchmarks.selection.one_step --store $(RESULTS)/one-step/store \
		--figure docs/images/one-step.svg > $(RESULTS)/one-step.json
	$(DOCUMENT)/selection.md one-step $(RESULTS)/one-step.json

# Maps of single draws are kept: what was stopped goes on, and another table of them takes seconds.
$(RESULTS)/references/validation.tar: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)/references
	$(SCENES) --split train --items 55000:60000 --per-class 100 --seed 51 --out $@

results-references: $(RESULTS)/references/validation.tar
	$(TEST_ENV)/bin/python -m benchmarks.localisation.references $< --maps $(RESULTS)/references/maps > $(RESULTS)/references.md
	$(DOCUMENT)/localisation.md references $(RESULTS)/references.md

# Classes that the model chooses against true ones, on the scenes of `quality`; stores are kept, what was stopped goes on.
results-unlabelled: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.localisation.unlabelled --out $(RESULTS)/unlabelled > $(RESULTS)/unlabelled.md
	$(DOCUMENT)/localisation.md unlabelled $(RESULTS)/unlabelled.md

# Which draws, and how many, tell classes apart: on scenes of the train split. Losses are kept.
results-assignment-budgets: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.localisation.budgets --losses $(RESULTS)/class-losses > $(RESULTS)/budgets-of-classes.md
	$(DOCUMENT)/localisation.md assignment-budgets $(RESULTS)/budgets-of-classes.md

results-scales: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.localisation.scale_table --maps $(RESULTS)/scales > $(RESULTS)/scales.md
	$(DOCUMENT)/localisation.md scales $(RESULTS)/scales.md

# The draws of the repository against those of another one, such as an export of the same pipeline without its draws.npz:
# make results-frontier-draws RANDOM=DIR
results-frontier-draws: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.localisation.frontier --pipeline "optimised draws=model_repository" \
		--pipeline "random draws=$(RANDOM)" --draws 1,2,4,5,8,12,16 --rule null --rule "rotating-brightness, centred" \
		--maps $(RESULTS)/frontier --figure docs/images/frontier-draws.svg > $(RESULTS)/frontier-draws.md
	$(DOCUMENT)/localisation.md frontier-draws $(RESULTS)/frontier-draws.md

# Several training seeds: make results-frontier PIPELINES="seed-1=DIR seed-2=DIR"
PIPELINES := built-in=model_repository
results-frontier: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.localisation.frontier $(addprefix --pipeline ,$(PIPELINES)) --maps $(RESULTS)/frontier \
		--figure docs/images/frontier.svg > $(RESULTS)/frontier.md
	$(DOCUMENT)/localisation.md frontier $(RESULTS)/frontier.md

# A UNet and a DiT of one training: the same scenes, steps, batches, seed and precision. Two hours on one core; what was stopped
# goes on.
DENOISERS := $(RESULTS)/denoisers
DENOISER_STEPS := 4000
$(DENOISERS)/scenes.tar: $(TEST_ENV)/installed
	mkdir -p $(DENOISERS)
	$(SCENES) --split train --items 0:55000 --per-class 10000 --seed 1 --out $@

results-denoisers: $(DENOISERS)/scenes.tar
	for each in unet dit; do $(TEST_ENV)/bin/python -m export_scripts.train_small $< --architecture $$each \
		--out $(DENOISERS)/$$each --steps $(DENOISER_STEPS) --seed 2 --threads 1 || exit; done
	$(TEST_ENV)/bin/python -m benchmarks.localisation.denoisers --pipeline UNet=$(DENOISERS)/unet \
		--pipeline DiT=$(DENOISERS)/dit --maps $(DENOISERS)/maps > $(DENOISERS).md
	$(DOCUMENT)/localisation.md denoisers $(DENOISERS).md

# One process against four parts, on one server and on a simulated fleet: ten minutes on an idle machine.
results-parts: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m benchmarks.clusters.throughput > $(RESULTS)/parts.md
	$(TEST_ENV)/bin/python -m benchmarks.document docs/clusters.md parts $(RESULTS)/parts.md

# Two parts score small images, until so many rows have been answered.
ROWS := 1281167
results-soak: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	rm -rf $(RESULTS)/soak/store
	$(TEST_ENV)/bin/python -m benchmarks.clusters.soak --folder $(RESULTS)/soak --rows $(ROWS) > $(RESULTS)/soak.md
	$(TEST_ENV)/bin/python -m benchmarks.document docs/clusters.md soak $(RESULTS)/soak.md

# The two further worlds (docs/decisions/027-three-worlds.md): a pipeline of each, and the colour scenes' tables. Hours on one
# core; what was stopped goes on. Colour scenes need Debian's package openclipart-png, or CLIPART=DIR, its unpacked
# usr/share/openclipart/png; solar cells come from a package registry (90 MB).
WORLDS := $(RESULTS)/worlds
COLOUR_STEPS := 12000
SOLAR_STEPS := 2500
COLOUR_FILES = $(if $(CLIPART),--source $(CLIPART))
COLOUR = $(TEST_ENV)/bin/python -m benchmarks.scenes.colour $(COLOUR_FILES)
TRAIN = $(TEST_ENV)/bin/python -m export_scripts.train_small --seed 1 --threads 1 --checkpoint-every 250
COLOUR_TABLE = --world colour $(COLOUR_FILES) --repository $(WORLDS)/colour-repository
$(WORLDS)/colour-data: $(TEST_ENV)/installed
	mkdir -p $(WORLDS)
	$(COLOUR) --split train --per-class 3000 --seed 11 --out $(WORLDS)/colour-train.tar
	$(COLOUR) --split tuning --per-class 20 --seed 21 --out $(WORLDS)/colour-tuning.tar
	touch $@

$(WORLDS)/colour-repository: $(WORLDS)/colour-data
	$(TRAIN) $(WORLDS)/colour-train.tar --out $(WORLDS)/colour-pipeline --steps $(COLOUR_STEPS) --batch 32
	$(TEST_ENV)/bin/python -m benchmarks.localisation.tune $(WORLDS)/colour-pipeline $(WORLDS)/colour-tuning.tar --seeds 1
	$(TEST_ENV)/bin/python -m export_scripts.training.draw_order $(WORLDS)/colour-pipeline $(WORLDS)/colour-tuning.tar
	$(TEST_ENV)/bin/selector export $(WORLDS)/colour-pipeline --out $@

results-colour: $(WORLDS)/colour-repository
	$(TEST_ENV)/bin/python -m benchmarks.localisation.quality $(COLOUR_TABLE) --scenes 1000 --draws 2,4,12 \
		--maps $(WORLDS)/maps > $(WORLDS)/colour-rules.md
	$(DOCUMENT)/localisation.md colour-rules $(WORLDS)/colour-rules.md
	$(TEST_ENV)/bin/python -m benchmarks.localisation.scale_table $(COLOUR_TABLE) --per-class 100 --rule null --rule rotating \
		--patch-fraction 0.25 --patch-fraction 0.625 --patch-fraction 0.25,0.4375,0.625 \
		--maps $(WORLDS)/maps > $(WORLDS)/colour-sizes.md
	$(DOCUMENT)/localisation.md colour-sizes $(WORLDS)/colour-sizes.md

# The rule by which `selector calibrate` decides about centring, against true boxes (docs/decisions/032).
results-centring: $(WORLDS)/colour-repository
	$(TEST_ENV)/bin/python -m benchmarks.localisation.centring_rule --maps $(WORLDS)/maps > $(WORLDS)/centring.md
	$(TEST_ENV)/bin/python -m benchmarks.localisation.centring_rule $(COLOUR_TABLE) --maps $(WORLDS)/maps | tail -n +3 \
		>> $(WORLDS)/centring.md
	$(DOCUMENT)/localisation.md centring $(WORLDS)/centring.md

$(WORLDS)/solar-data: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --target $(WORLDS)/elpv elpv-dataset==1.0.0.post1
	$(TEST_ENV)/bin/python -m benchmarks.scenes.solar $(WORLDS)/elpv/elpv_dataset/data --out $(WORLDS)/solar-cells
	touch $@

$(WORLDS)/solar-repository: $(WORLDS)/solar-data
	$(TRAIN) $(WORLDS)/solar-cells/train --out $(WORLDS)/solar-pipeline --steps $(SOLAR_STEPS)
	$(TEST_ENV)/bin/selector export $(WORLDS)/solar-pipeline --out $@
	$(TEST_ENV)/bin/selector calibrate $(WORLDS)/solar-cells/train --repository $@

results-solar: $(WORLDS)/solar-repository

# Students on three worlds, hard labels first (docs/results/worlds.md). Each world has a folder with the data of its teacher, pools of
# scenes and a test set that nothing was tuned on, and in tuning/ those by which orders were chosen (docs/decisions/030-orders.md).
# Solar cells are few: pools share photographs, and the teacher has seen them. Hours; what was stopped goes on.
$(WORLDS)/scenes/data-ready: $(TEST_ENV)/installed
	mkdir -p $(@D)/tuning
	$(SCENES) --split train --items 0:55000 --per-class 1500 --seed 21 --out $(@D)/teacher.tar
	$(SCENES) --split train --items 0:55000 --per-class 800 --seed 62 --out $(@D)/tuning/pool.tar
	$(SCENES) --split train --items 55000:60000 --per-class 500 --seed 52 --out $(@D)/tuning/test.tar
	$(SCENES) --split train --items 0:55000 --per-class 1600 --seed 91 --out $(@D)/pool.tar
	$(SCENES) --split test --per-class 500 --seed 46 --out $(@D)/test.tar
	for part in . tuning; do $(TEST_ENV)/bin/selector score $(@D)/$$part/pool.tar --store $(@D)/$$part/store || exit; done
	touch $@

$(WORLDS)/colour/data-ready: $(WORLDS)/colour-repository
	mkdir -p $(@D)/tuning
	$(COLOUR) --split train --per-class 1500 --seed 12 --out $(@D)/teacher.tar
	$(COLOUR) --split train --per-class 800 --seed 62 --out $(@D)/tuning/pool.tar
	$(COLOUR) --split tuning --per-class 300 --seed 52 --out $(@D)/tuning/test.tar
	$(COLOUR) --split train --per-class 1600 --seed 91 --out $(@D)/pool.tar
	$(COLOUR) --split test --per-class 500 --seed 46 --out $(@D)/test.tar
	for part in . tuning; do $(TEST_ENV)/bin/selector score $(@D)/$$part/pool.tar --repository $< --store $(@D)/$$part/store || exit; done
	touch $@

$(WORLDS)/solar/data-ready: $(WORLDS)/solar-repository
	mkdir -p $(@D)/tuning
	$(TEST_ENV)/bin/selector score $(WORLDS)/solar-cells/train --repository $< --store $(@D)/store
	ln -sfn ../store $(@D)/tuning/store
	ln -sfn ../solar-cells/train $(@D)/teacher
	ln -sfn ../solar-cells/test $(@D)/test
	ln -sfn ../../solar-cells/tuning $(@D)/tuning/test
	touch $@

WORLD_FORM = $(if $(filter solar,$*),,.tar)
WORLD_METHODS = random-image,random-patch,rded,el2n-easy,herding+whole,herding$(if $(filter solar,$*),,,true-boxes)
WORLD_FLAGS = $(if $(filter solar,$*),--students convnet-s2 --teacher-architecture convnet-w64-s2 --recipe side_px=64)
WORLD_STUDENTS = $(TEST_ENV)/bin/selector evaluate --pool-size 100 --teacher $(WORLDS)/$*/teacher.pt --teacher-steps 1500 \
	--teacher-data $(WORLDS)/$*/teacher$(WORLD_FORM) $(WORLD_FLAGS)
WORLD_TEST = $(WORLD_STUDENTS) --store $(WORLDS)/$*/store --test $(WORLDS)/$*/test$(WORLD_FORM) --methods $(WORLD_METHODS)
WORLD_TABLE = $(TEST_ENV)/bin/python -m benchmarks.students.world_table $(if $(filter solar,$*),--student convnet-s2)
# make results-students-scenes, -colour or -solar
results-students-%: $(WORLDS)/%/data-ready
	for labels in hard soft; do \
		$(WORLD_TEST) --out $(WORLDS)/$*/students --labels $$labels --ipc 10 --pools 8 || exit; \
		$(WORLD_TEST) --out $(WORLDS)/$*/students --labels $$labels --ipc 1,2,50 --pools 4 || exit; done
	$(WORLD_TEST) --out $(WORLDS)/$*/mosaics --labels hard --mosaic 4 --ipc 10 --pools 8
	for labels in hard soft; do for view in $(if $(filter solar,$*),whole,object whole); do \
		$(WORLD_TABLE) $(WORLDS)/$*/students --labels $$labels --view $$view > $(WORLDS)/$*/$$labels-$$view.md && \
		$(DOCUMENT)/worlds.md $*-$$labels-$$view $(WORLDS)/$*/$$labels-$$view.md || exit; done; done
	$(WORLD_TABLE) $(WORLDS)/$*/mosaics --labels hard --view $(if $(filter solar,$*),whole,object) > $(WORLDS)/$*/mosaics.md
	$(DOCUMENT)/worlds.md $*-mosaics $(WORLDS)/$*/mosaics.md

WORLD_TUNING = $(WORLD_STUDENTS) --store $(WORLDS)/$*/tuning/store --test $(WORLDS)/$*/tuning/test$(WORLD_FORM) \
	--out $(WORLDS)/$*/tuning/students --labels hard --pools 8
results-tuning-%: $(WORLDS)/%/data-ready
	$(WORLD_TUNING) --ipc 1,2,10 --methods herding,herding+whole,clusters,rded,random-image
